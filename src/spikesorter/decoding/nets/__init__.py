"""Architectures of the networks, and one seeded training loop.

Networks are defined in Keras 3 and run by JAX. Weights are plain tuples of arrays; functions take them and
return new ones. Only compiled code is kept between calls. Both libraries are loaded when a network is first
built, because they take seconds to load and the pursuit does not need them.
"""

import os

from spikesorter.core.errors import SettingsError

if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
    raise SettingsError(
        f"the networks run on JAX, but KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}; unset it"
    )
