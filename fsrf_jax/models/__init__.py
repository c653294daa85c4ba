"""Flax modules, stateless: `init` makes parameters, the other functions take them."""

from fsrf_jax.models.fsrf import AuxiliaryHeads as AuxiliaryHeads
from fsrf_jax.models.fsrf import Network as Network
from fsrf_jax.models.fsrf import forward_views as forward_views
from fsrf_jax.models.fsrf import init as init
from fsrf_jax.models.fsrf import predict as predict
from fsrf_jax.models.fsrf import reverse_gradient as reverse_gradient
