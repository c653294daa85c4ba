"""The methods, by the name that `method.name` takes. A new one is a file here, and a line below."""

from fsrf_jax.methods.fsrf import Fsrf as Fsrf
from fsrf_jax.methods.method import Method as Method
from fsrf_jax.methods.method import Parameters as Parameters
from fsrf_jax.methods.method import Setting as Setting

METHODS: dict[str, type] = {"fsrf": Fsrf}
