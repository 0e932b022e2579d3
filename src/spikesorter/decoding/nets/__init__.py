"""Networks, each with its architecture, and one seeded training loop.

Keras 3 describes the networks, JAX runs them. Weights are plain tuples of arrays; functions take them and
return new ones. Only compiled code is kept between calls. Both libraries are loaded when a network is first
built, because sorting by a pursuit does not need them and they take seconds to load.
"""

import os

from spikesorter.core.errors import SettingsError

if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
    raise SettingsError(
        f"the networks run on JAX, but KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}; unset it"
    )
