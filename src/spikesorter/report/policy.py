"""State what a browser may load and run for a page: its content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

__all__ = ["NOTHING", "allow_scripts", "scripts_in"]

NONE = "'none'"
UNFRAMED = "; frame-ancestors 'none'"  # browsers take it from a header only, and complain of it in a page
NOTHING = f"default-src 'none'{UNFRAMED}"
"""The header of what is no page."""

SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script", re.DOTALL | re.IGNORECASE)


def allow_scripts(scripts: Iterable[str], *, served: bool, header: bool) -> str:
    """Return the policy of a page that runs these scripts and no others.

    Parameters
    ----------
    scripts : iterable of str
        Texts between the tags, each allowed by its SHA-256.
    served : bool
        Whether the page may ask the server that it came from; otherwise it may use no network at all.
    header : bool
        Whether the policy is sent as a header, which also forbids other pages to frame this one.

    Returns
    -------
    str

    Examples
    --------
    >>> allow_scripts([], served=False, header=False)[:60]
    "default-src 'none'; script-src 'none'; style-src 'unsafe-inl"
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    connect = "'self'" if served else NONE
    policy = (
        f"default-src 'none'; script-src {hashes or NONE}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )
    return policy + UNFRAMED if header else policy


def scripts_in(html: str) -> list[str]:
    """Return the scripts that a page holds.

    Examples
    --------
    >>> scripts_in("<p>a<script>let b;</script>")
    ['let b;']
    """
    return SCRIPT.findall(html)
