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
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

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


def tiny_clip(folder: Path, words: Sequence[str] = WORDS, *, edge: int = 32) -> Path:
    """A CLIP of two layers a tower: pictures of `edge` pixels, texts of these words."""
    parts = folder / "parts"
    torch.manual_seed(7)
    clip_model(words, edge=edge).save_pretrained(parts)
    clip_processor(words, edge=edge).save_pretrained(parts)
    return saved_clip(parts, folder / "model")


def clip_model(words: Sequence[str], *, edge: int, hidden: int = 32, layers: int = 2) -> CLIPModel:
    """With the weights that a CLIP begins with."""
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
    }
    # Where the end is number 2 transformers takes the largest number for it, as of old.
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    text = {"vocab_size": 4 + len(dict.fromkeys(words)), "max_position_embeddings": 24}
    return CLIPModel(
        CLIPConfig(
            text_config=sizes | text | special,
            vision_config=sizes | {"image_size": edge, "patch_size": 8},
            projection_dim=24,
        )
    )


def clip_processor(words: Sequence[str], *, edge: int) -> CLIPProcessor:
    """What turns pictures and texts into what such a model reads."""
    vocabulary = ["<pad>", "<unk>", "<begin>", "<end>", *dict.fromkeys(words)]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 2), ("<end>", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<begin>",
        eos_token="<end>",
        unk_token="<unk>",
        model_max_length=24,
    )
    pixels = {"height": edge, "width": edge}
    images = CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size=pixels)
    return CLIPProcessor(image_processor=images, tokenizer=fast)


def saved_clip(parts: Path, whole: Path) -> Path:
    """A CLIP with its processor, as a folder of sentence-transformers."""
    SentenceTransformer(modules=[Transformer(str(parts))], device="cpu").save(
        str(whole), create_model_card=False
    )
    return whole


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
