"""Content security policy: what a browser may load and run for a page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

__all__ = ["NOTHING", "allow_scripts", "scripts_in"]

NONE = "'none'"
UNFRAMED = "; frame-ancestors 'none'"  # valid in a header only; browsers warn about it in a page
NOTHING = f"default-src 'none'{UNFRAMED}"
"""Header of replies that are not pages."""

SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script", re.DOTALL | re.IGNORECASE)


def allow_scripts(scripts: Iterable[str], *, served: bool, header: bool) -> str:
    """Return the policy of a page that runs these scripts and no others.

    Parameters
    ----------
    scripts : iterable of str
        Text of each script, which is allowed by its SHA-256.
    served : bool
        Whether the page may connect to its own server; otherwise it may not use the network.
    header : bool
        Whether the policy is sent as a header, which can also forbid other pages to embed this one in a
        frame.

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
    """Return the scripts in a page.

    Examples
    --------
    >>> scripts_in("<p>a<script>let b;</script>")
    ['let b;']
    """
    return SCRIPT.findall(html)
