"""The methods, by the name that `method.name` takes. A new one is a file here, and a line below.

Example:
    >>> sorted(fsrf_jax.methods.METHODS)
    ['corrkd', 'fsrf', 'late_fusion', 'misa']
    >>> weights = fsrf_jax.methods.Fsrf().term_weights(progress=1.0)
    >>> round(float(weights["homogeneous"]), 2)
    0.03
"""

from fsrf_jax.methods.corrkd import Corrkd as Corrkd
from fsrf_jax.methods.fsrf import Fsrf as Fsrf
from fsrf_jax.methods.late_fusion import LateFusion as LateFusion
from fsrf_jax.methods.method import Method as Method
from fsrf_jax.methods.method import Parameters as Parameters
from fsrf_jax.methods.method import Setting as Setting
from fsrf_jax.methods.method import Teacher as Teacher
from fsrf_jax.methods.misa import Misa as Misa

METHODS: dict[str, type] = {
    "fsrf": Fsrf,
    "corrkd": Corrkd,
    "late_fusion": LateFusion,
    "misa": Misa,
}
"""The dataclass of every method by its name."""
