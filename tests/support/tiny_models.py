"""tiny_models.py: small models with random weights, of the architectures that users choose."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

WORDS = "red blue running shoes rain jacket espresso machine tea kettle desk lamp dog leash".split()
CHINESE = "红色蓝跑步鞋雨衣咖啡机茶壶台灯狗绳无线耳机男女士轻便新款"
INSTRUCTION = "Instruct: find the item\nQuery: "


def tiny_bert(
    folder: Path, *, hidden: int = 64, words: Sequence[str] = "", pooling: str = "mean"
) -> Path:
    """A two-layer BERT with mean pooling that knows WORDS, or each of `words`."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(words or WORDS)]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(7)
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=hidden,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=2 * hidden,
            max_position_embeddings=40,
            initializer_range=0.3,
        )
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    return _saved(folder, model, tokenizer, special | {"sep_token": "[SEP]"}, pooling, 32)


def tiny_llm(folder: Path, *, padding_side: str = "left") -> Path:
    """A two-layer decoder of Qwen3's kind: last-token pooling, an instruction before queries."""
    vocabulary = ["<pad>", "<unk>", "<eos>", *dict.fromkeys([*WORDS, *INSTRUCTION.split()])]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 2)]
    )
    torch.manual_seed(7)
    model = Qwen3Model(
        Qwen3Config(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
    )
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<eos>"}
    special["padding_side"] = padding_side
    prompts = {"query": INSTRUCTION, "document": ""}
    return _saved(folder, model, tokenizer, special, "lasttoken", 48, prompts)


def _saved(
    folder: Path,
    model: Any,
    tokenizer: Tokenizer,
    special: dict[str, str],
    pooling: str,
    max_tokens: int,
    prompts: dict[str, str] | None = None,
) -> Path:
    parts = folder / "parts"
    model.save_pretrained(parts)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(parts)
    first = Transformer(str(parts))
    first.max_seq_length = max_tokens
    modules = [first, Pooling(model.config.hidden_size, pooling_mode=pooling), Normalize()]
    whole = folder / "model"
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(
        str(whole), create_model_card=False
    )
    return whole
