"""bert_weights.py: loaded modules -> the weights of a plain BERT-family encoder, if it is one."""

from dataclasses import dataclass
from typing import Any, Final

# The families that share BERT's layers and names of weights, and where their positions begin.
_FIRST_POSITION: Final = {"bert": 0, "roberta": None, "xlm-roberta": None}


@dataclass(frozen=True)
class BertParts:
    """What both short cuts (packed int8 for the rebuild, ONNX for serving) need to know."""

    model: Any  # the torch module itself, float32
    weights: dict[str, Any]  # float32 tensors by name
    layers: int
    heads: int
    epsilon: float
    first_position: int
    pooling: str  # mean or cls

    @property
    def width(self) -> int:
        return int(self.weights["embeddings.word_embeddings.weight"].shape[1])

    def positions(self) -> Any:
        """Position vectors (t, d) with the vector of the first token type added: all we read."""
        positions = self.weights["embeddings.position_embeddings.weight"][self.first_position :]
        return positions + self.weights["embeddings.token_type_embeddings.weight"][0]


def bert_parts(modules: Any) -> BertParts | None:
    """The parts, or None when anything about the model is not exactly what the short cuts do."""
    kinds = [type(module).__name__ for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    model, config, pool = modules[0].auto_model, modules[0].config, modules[1]
    plain = (
        config.model_type in _FIRST_POSITION
        and getattr(config, "hidden_act", "") == "gelu"
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and not getattr(config, "is_decoder", False)
        and pool.pooling_mode in ("mean", "cls")
        and pool.include_prompt
    )
    if not plain:
        return None
    first = _FIRST_POSITION[config.model_type]
    return BertParts(
        model=model,
        weights={name: value.detach().float().cpu() for name, value in model.state_dict().items()},
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
        first_position=config.pad_token_id + 1 if first is None else first,
        pooling=pool.pooling_mode,
    )
