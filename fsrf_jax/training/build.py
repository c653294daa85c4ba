"""From the config to what the training loop takes."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax import models
from fsrf_jax.config import Config, subset_names
from fsrf_jax.data.dataset import Split
from fsrf_jax.missing import MissingLaw, keyed_uniforms, observe
from fsrf_jax.training.state import Method, make_optimizer
from fsrf_jax.training.step import Validation
from fsrf_jax.types import Batch, HyperParameters, LossWeights


def make_network(config: Config, outputs: int) -> models.Network:
    """The network of a config.

    Args:
        config: the experiment.
        outputs: numbers, classes or binary tasks that the labels have, see `Source.outputs`.
    """
    m, task = config.model, config.losses.task
    gaussian = task.kind == "gaussian"
    return models.Network(
        modalities=config.data.modalities,
        width=m.width,
        heads=m.heads,
        encoder_layers=m.encoder_layers,
        fusion_layers=m.fusion_layers,
        expansion=m.expansion,
        kernel=m.kernel,
        dropout=m.dropout,
        mask_aware=m.mask_aware,
        pool=m.pool,
        missing_frame=m.missing_frame,
        fusion=m.fusion,
        random_noise=config.losses.noise.kind == "bottleneck",
        head="gaussian" if gaussian else task.form,
        outputs=2 if gaussian else outputs,
    )


def make_heads(config: Config, widths: Mapping[str, int], outputs: int) -> models.AuxiliaryHeads:
    """The heads that only the losses need.

    Args:
        config: the experiment.
        widths: feature width of each modality.
        outputs: width of the network's own head.
    """
    losses = config.losses
    encodings = losses.reconstruction.target != "frames"
    return models.AuxiliaryHeads(
        target_widths=tuple(
            (m, config.model.width if encodings else widths[m]) for m in config.data.modalities
        ),
        hidden=config.model.width,
        outputs=outputs,
        heterogeneous=losses.heterogeneous.kind,
        noise=losses.noise.kind,
        crossed=losses.reconstruction.crossed,
    )


def make_method(
    config: Config, widths: Mapping[str, int], samples: int, outputs: int = 1
) -> Method:
    """All that is fixed at compilation.

    Args:
        config: the experiment.
        widths: feature width of each modality.
        samples: size of the training split.
        outputs: numbers, classes or binary tasks that the labels have.
    """
    o = config.optimizer
    steps = -(-samples // config.training.batch_size)
    network = make_network(config, outputs)
    return Method(
        network=network,
        auxiliary=make_heads(config, widths, network.outputs),
        losses=config.losses,
        missing=make_law(config),
        clean_view=config.missing.clean_view,
        optimizer=make_optimizer(
            weight_decay=o.weight_decay,
            warmup=o.warmup,
            clip_norm=o.clip_norm,
            steps=steps * config.training.epochs,
        ),
        steps_per_epoch=steps,
    )


def make_hyper(config: Config, *, dropout: bool = False) -> HyperParameters:
    """The numbers of a config that never compile anew.

    Args:
        config: the experiment.
        dropout: make the dropout rate one of them; otherwise it is a constant of the network.
    """
    return HyperParameters(
        weights=LossWeights(**jax.tree.map(jnp.float32, dataclasses.asdict(config.weights))),
        learning_rate=jnp.float32(config.optimizer.learning_rate),
        temperature=jnp.float32(config.losses.distillation.temperature),
        dropout=jnp.float32(config.model.dropout) if dropout else None,
    )


def make_law(config: Config) -> MissingLaw:
    """Law of the training missingness."""
    missing = config.missing
    return MissingLaw(
        max_rate=missing.max_rate,
        shared_rate=missing.shared_rate,
        fixed_rate=missing.fixed_rate,
        pattern=missing.pattern,
        subset_weights=tuple(
            (subset_names(subset, config.data.modalities), weight)
            for subset, weight in missing.subset_weights.items()
        ),
        whole_share=missing.whole_share,
        modality_rate=missing.modality_rate,
    )


def make_batch(split: Split) -> Batch:
    """A whole, normalised split as one batch."""
    return Batch(
        features={m: jnp.asarray(x, jnp.float32) for m, x in split.features.items()},
        valid={m: jnp.asarray(v) for m, v in split.valid.items()},
        labels=jnp.asarray(split.labels, jnp.float32),
        weights=jnp.ones(len(split), jnp.float32),
    )


def make_validation(split: Split, law: MissingLaw, draws: int) -> Validation:
    """The validation split under `draws` fixed draws of the training missingness.

    The masks are keyed by sample id, so that all runs of a data set are selected alike.
    """
    batch = make_batch(split)
    ids = [str(i) for i in split.ids]
    masks = [
        observe(keyed_uniforms(seed, ids, split.valid), batch.valid, law) for seed in range(draws)
    ]
    return Validation(batch, jax.tree.map(lambda *drawn: jnp.stack(drawn), *masks))


def feature_widths(split: Split) -> dict[str, int]:
    """Feature width of each modality."""
    return {m: np.shape(x)[-1] for m, x in split.features.items()}
