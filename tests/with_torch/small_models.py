"""A small model of every family of the table, random weights, from transformers' own code."""

import torch
import transformers as hf


SIZES = {"vocab_size": 64, "max_position_embeddings": 64, "intermediate_size": 48, "num_hidden_layers": 2}
WIDE = {**SIZES, "hidden_size": 32, "num_attention_heads": 4}
GROUPED = {**WIDE, "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
OLD = {"vocab_size": 64, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64}
OLD |= {"bos_token_id": 2, "eos_token_id": 1}
FALCON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "bos_token_id": 2, "eos_token_id": 1}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
WINDOW = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}

MODELS = {
    "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, GROUPED),
    "llama-mha-bias": (
        hf.LlamaConfig,
        hf.LlamaForCausalLM,
        GROUPED | {"num_key_value_heads": 4, "attention_bias": True},
    ),
    "llama-llama3": (hf.LlamaConfig, hf.LlamaForCausalLM, GROUPED | {"rope_parameters": LLAMA3}),
    "mistral": (hf.MistralConfig, hf.MistralForCausalLM, GROUPED | {"sliding_window": 4}),
    "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, GROUPED),
    "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM, GROUPED | {"head_dim": 8}),
    "gemma2": (
        hf.Gemma2Config,
        hf.Gemma2ForCausalLM,
        GROUPED | WINDOW | {"query_pre_attn_scalar": 5, "attn_logit_softcapping": 0.05},
    ),
    "gemma3": (hf.Gemma3TextConfig, hf.Gemma3ForCausalLM, GROUPED | WINDOW | {"query_pre_attn_scalar": 5}),
    "phi3": (hf.Phi3Config, hf.Phi3ForCausalLM, GROUPED),
    "gpt2": (hf.GPT2Config, hf.GPT2LMHeadModel, OLD | {"scale_attn_by_inverse_layer_idx": True}),
    "gptj": (hf.GPTJConfig, hf.GPTJForCausalLM, OLD | {"rotary_dim": 4}),
    "gpt_neox": (hf.GPTNeoXConfig, hf.GPTNeoXForCausalLM, WIDE | {"bos_token_id": 2, "eos_token_id": 1}),
    "bloom": (
        hf.BloomConfig,
        hf.BloomForCausalLM,
        {"vocab_size": 64, "hidden_size": 48, "n_head": 6, "n_layer": 2, "bos_token_id": 2, "eos_token_id": 1},
    ),
    "falcon-mha": (
        hf.FalconConfig,
        hf.FalconForCausalLM,
        FALCON | {"num_attention_heads": 4, "multi_query": False, "alibi": True, "bias": True},
    ),
    "falcon-mqa": (hf.FalconConfig, hf.FalconForCausalLM, FALCON | {"num_attention_heads": 4, "num_kv_heads": 4}),
    "falcon-new": (
        hf.FalconConfig,
        hf.FalconForCausalLM,
        FALCON | {"num_attention_heads": 4, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "mpt": (
        hf.MptConfig,
        hf.MptForCausalLM,
        {"vocab_size": 64, "d_model": 48, "n_heads": 6, "n_layers": 2, "max_seq_len": 64},
    ),
    "opt": (
        hf.OPTConfig,
        hf.OPTForCausalLM,
        {**WIDE, "ffn_dim": 48, "word_embed_proj_dim": 32, "bos_token_id": 2, "eos_token_id": 1},
    ),
    "bert": (hf.BertConfig, hf.BertModel, WIDE),
    "roberta": (hf.RobertaConfig, hf.RobertaModel, WIDE | {"bos_token_id": 2, "eos_token_id": 1}),
    "distilbert": (
        hf.DistilBertConfig,
        hf.DistilBertModel,
        {"vocab_size": 64, "dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 48},
    ),
    "vit": (
        hf.ViTConfig,
        hf.ViTModel,
        {
            "hidden_size": 32,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "intermediate_size": 48,
            "image_size": 8,
            "patch_size": 4,
        },
    ),
    "albert": (
        hf.AlbertConfig,
        hf.AlbertModel,
        {
            **WIDE,
            "embedding_size": 16,
            "num_hidden_layers": 4,
            "num_hidden_groups": 2,
            "bos_token_id": 2,
            "eos_token_id": 1,
        },
    ),
}
"""name -> configuration class, model class, what differs from the defaults; one or more a family."""

REFUSED = {"olmo2": (hf.Olmo2Config, hf.Olmo2ForCausalLM, GROUPED)}

EAGER = {"gemma2", "gptj", "bloom", "mpt"}
"""Families without scaled_dot_product_attention, or whose soft cap it cannot do."""


def build(name: str) -> torch.nn.Module:
    """The model, with weights and biases large enough that every term of a logit shows.

    They are multiples of 1/16, so that they can be stored in a byte each, and as float16 and bfloat16 exactly.
    """
    config_class, model_class, options = (MODELS | REFUSED)[name]
    torch.manual_seed(list(MODELS | REFUSED).index(name))
    config = config_class(**options)
    config._attn_implementation = "eager" if name in EAGER else "sdpa"
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
            parameter.copy_((16 * parameter).round() / 16)
    return model.eval()


def inputs(name: str) -> dict[str, torch.Tensor]:
    """What the model is called with: 2 texts of 9 tokens, or 2 images."""
    torch.manual_seed(7)
    if name == "vit":
        return {"pixel_values": torch.randn(2, 3, 8, 8)}
    return {"input_ids": torch.randint(3, 64, (2, 9))}
