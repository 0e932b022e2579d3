"""The networks beside their settings, and one seeded training loop.

Keras 3 describes the networks; JAX runs them. Weights are plain tuples of arrays: functions take them and
return new ones, and nothing here keeps state between calls but compiled code.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
