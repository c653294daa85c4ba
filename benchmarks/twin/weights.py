"""Parameters of ours, or their gradient, by the names and in the layout of the twin."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


def from_pytree(parameters: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """A state for `Twin.load_state_dict` from what `Fsrf.init` gives, or a pytree like it."""
    inference, training = parameters["inference"], parameters["training"]
    found: Arrays = {}
    for m, tree in inference["encoders"].items():
        name = f"encoders.{m}"
        found[f"{name}.frames.weight"] = np.transpose(tree["frames"]["kernel"], (2, 1, 0))
        found[f"{name}.frames.bias"] = tree["frames"]["bias"]
        found |= _blocks(name, tree) | _norm(f"{name}.norm", tree["LayerNorm_0"])
    parts = inference["factorizer"]
    found |= _perceptron("homogeneous", parts["homogeneous"], _linear)
    found |= _perceptron("heterogeneous", parts["heterogeneous"], _stacked)
    found |= _perceptron("noise", parts["noise"], _stacked)
    fusion = inference["fusion"]
    tokens = ("token", "class"), ("slot", "slot"), ("missing", "missing")
    found |= {f"fusion.{name}": fusion[ours] for name, ours in tokens}
    found |= _blocks("fusion", fusion) | _norm("fusion.norm", fusion["LayerNorm_0"])
    found |= _linear("head", inference["head"])
    found |= _perceptron("adversary", training["adversary"], _stacked)
    found |= _perceptron("task_heads", training["heterogeneous"], _stacked)
    for m in inference["encoders"]:
        found |= _perceptron(f"decoders.{m}", training[f"decoder_{m}"], _linear)
    # Contiguous: a fused AdamW reads a gradient as if it were laid out as its parameter is.
    return {name: torch.tensor(np.ascontiguousarray(array)) for name, array in found.items()}


def _linear(name: str, layer: Mapping[str, Any]) -> Arrays:
    """A dense layer of any axes: the last are out, or for an output of heads the first are in."""
    return {f"{name}.weight": np.transpose(layer["kernel"]), f"{name}.bias": layer["bias"]}


def _stacked(name: str, layer: Mapping[str, Any]) -> Arrays:
    return {name: layer["kernel"], f"{name}_bias": layer["bias"]}


def _perceptron(
    name: str, tree: Mapping[str, Any], layer: Callable[[str, Mapping[str, Any]], Arrays]
) -> Arrays:
    return layer(f"{name}.up", tree["Dense_0"]) | layer(f"{name}.down", tree["Dense_1"])


def _norm(name: str, tree: Mapping[str, Any]) -> Arrays:
    return {f"{name}.weight": tree["scale"], f"{name}.bias": tree["bias"]}


def _blocks(owner: str, tree: Mapping[str, Any]) -> Arrays:
    """All Transformer blocks of an encoder or the fusion."""
    found: Arrays = {}
    blocks = sorted(key for key in tree if key.startswith("Block_"))
    for i, key in enumerate(blocks):
        name, block = f"{owner}.blocks.{i}", tree[key]
        qkv, out = (block["SelfAttention_0"][part] for part in ("query_key_value", "output"))
        d = np.shape(out["bias"])[0]
        found[f"{name}.qkv.weight"] = np.transpose(np.reshape(qkv["kernel"], (d, 3 * d)))
        found[f"{name}.qkv.bias"] = np.reshape(qkv["bias"], 3 * d)
        found[f"{name}.out.weight"] = np.transpose(np.reshape(out["kernel"], (d, d)))
        found[f"{name}.out.bias"] = out["bias"]
        found |= _norm(f"{name}.norm_1", block["LayerNorm_0"])
        found |= _norm(f"{name}.norm_2", block["LayerNorm_1"])
        found |= _linear(f"{name}.up", block["Dense_0"]) | _linear(f"{name}.down", block["Dense_1"])
    return found
