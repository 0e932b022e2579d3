"""The networks beside their settings, and one seeded training loop.

Keras 3 describes the networks; JAX runs them. Weights are plain tuples of arrays: functions take them and
return new ones, and nothing here keeps state between calls but compiled code. Both libraries are loaded when
a network is first built: sorting by a pursuit needs neither, nor the seconds that they take.
"""

import os

from spikesorter.core.errors import SettingsError

if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
    raise SettingsError(
        f"the networks run on JAX, but KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}; unset it"
    )
