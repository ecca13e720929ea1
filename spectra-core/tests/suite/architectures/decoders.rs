use super::{Architecture, BIAS, EMBEDDING, FUSED, HEAD, MATRIX, NORM, NOT_SPLIT};

pub(crate) const ALL: &[Architecture] = &[
    (
        "LLaMA-3-8B, transformers",
        &[
            ("model.embed_tokens.weight", &[128_256, 4096], EMBEDDING),
            ("model.layers.0.self_attn.q_proj.weight", &[4096, 4096], MATRIX),
            ("model.layers.0.self_attn.k_proj.weight", &[1024, 4096], MATRIX),
            ("model.layers.0.self_attn.o_proj.weight", &[4096, 4096], MATRIX),
            ("model.layers.0.mlp.gate_proj.weight", &[14336, 4096], MATRIX),
            ("model.layers.0.mlp.down_proj.weight", &[4096, 14336], MATRIX),
            ("model.layers.0.input_layernorm.weight", &[4096], NORM),
            ("model.norm.weight", &[4096], NORM),
            ("lm_head.weight", &[128_256, 4096], HEAD),
        ],
    ),
    (
        "LLaMA-3-8B, Meta",
        &[
            ("tok_embeddings.weight", &[128_256, 4096], EMBEDDING),
            ("layers.0.attention.wq.weight", &[4096, 4096], MATRIX),
            ("layers.0.feed_forward.w1.weight", &[14336, 4096], MATRIX),
            ("layers.0.attention_norm.weight", &[4096], NORM),
            ("norm.weight", &[4096], NORM),
            ("output.weight", &[128_256, 4096], HEAD),
        ],
    ),
    (
        "Qwen2.5-0.5B, transformers",
        &[
            ("model.embed_tokens.weight", &[151_936, 896], EMBEDDING),
            ("model.layers.0.self_attn.q_proj.weight", &[896, 896], MATRIX),
            ("model.layers.0.self_attn.q_proj.bias", &[896], BIAS),
            ("model.layers.0.self_attn.k_proj.weight", &[128, 896], MATRIX),
            ("model.layers.0.mlp.up_proj.weight", &[4864, 896], MATRIX),
            ("model.layers.0.post_attention_layernorm.weight", &[896], NORM),
            ("model.norm.weight", &[896], NORM),
        ],
    ),
    (
        "Qwen3-0.6B, transformers",
        &[
            ("model.embed_tokens.weight", &[151_936, 1024], EMBEDDING),
            ("model.layers.0.self_attn.q_proj.weight", &[2048, 1024], MATRIX),
            ("model.layers.0.self_attn.q_norm.weight", &[128], NORM),
            ("model.layers.0.self_attn.o_proj.weight", &[1024, 2048], MATRIX),
            ("model.layers.0.mlp.gate_proj.weight", &[3072, 1024], MATRIX),
        ],
    ),
    (
        "Mistral-7B, transformers",
        &[
            ("model.embed_tokens.weight", &[32000, 4096], EMBEDDING),
            ("model.layers.0.self_attn.v_proj.weight", &[1024, 4096], MATRIX),
            ("model.layers.0.mlp.up_proj.weight", &[14336, 4096], MATRIX),
            ("lm_head.weight", &[32000, 4096], HEAD),
        ],
    ),
    (
        "Gemma-2-2B, transformers",
        &[
            ("model.embed_tokens.weight", &[256_000, 2304], EMBEDDING),
            ("model.layers.0.self_attn.q_proj.weight", &[2048, 2304], MATRIX),
            ("model.layers.0.mlp.gate_proj.weight", &[9216, 2304], MATRIX),
            ("model.layers.0.pre_feedforward_layernorm.weight", &[2304], NORM),
        ],
    ),
    (
        "Phi-2, transformers",
        &[
            ("model.embed_tokens.weight", &[51200, 2560], EMBEDDING),
            ("model.layers.0.self_attn.q_proj.weight", &[2560, 2560], MATRIX),
            ("model.layers.0.self_attn.dense.weight", &[2560, 2560], MATRIX),
            ("model.layers.0.self_attn.dense.bias", &[2560], BIAS),
            ("model.layers.0.mlp.fc1.weight", &[10240, 2560], MATRIX),
            ("model.layers.0.mlp.fc2.weight", &[2560, 10240], MATRIX),
            ("model.layers.0.input_layernorm.weight", &[2560], NORM),
            ("model.final_layernorm.weight", &[2560], NORM),
            ("lm_head.weight", &[51200, 2560], HEAD),
            ("lm_head.bias", &[51200], BIAS),
        ],
    ),
    (
        "GPT-2, transformers",
        &[
            ("transformer.wte.weight", &[50257, 768], EMBEDDING),
            ("transformer.wpe.weight", &[1024, 768], EMBEDDING),
            ("transformer.h.0.ln_1.weight", &[768], NORM),
            ("transformer.h.0.attn.c_attn.weight", &[768, 2304], FUSED),
            ("transformer.h.0.attn.c_attn.bias", &[2304], BIAS),
            ("transformer.h.0.attn.c_proj.weight", &[768, 768], MATRIX),
            ("transformer.h.0.mlp.c_fc.weight", &[768, 3072], MATRIX),
            ("transformer.h.0.mlp.c_proj.weight", &[3072, 768], MATRIX),
            ("transformer.ln_f.weight", &[768], NORM),
        ],
    ),
    (
        "Pythia-160M (GPT-NeoX), transformers",
        &[
            ("gpt_neox.embed_in.weight", &[50304, 768], EMBEDDING),
            ("gpt_neox.layers.0.attention.query_key_value.weight", &[2304, 768], NOT_SPLIT),
            ("gpt_neox.layers.0.attention.dense.weight", &[768, 768], MATRIX),
            ("gpt_neox.layers.0.mlp.dense_h_to_4h.weight", &[3072, 768], MATRIX),
            ("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", &[768, 3072], MATRIX),
            ("gpt_neox.final_layer_norm.weight", &[768], NORM),
            ("embed_out.weight", &[50304, 768], HEAD),
        ],
    ),
    (
        "OPT-350M, transformers",
        &[
            ("model.decoder.embed_tokens.weight", &[50272, 512], EMBEDDING),
            ("model.decoder.embed_positions.weight", &[2050, 1024], EMBEDDING),
            ("model.decoder.project_out.weight", &[512, 1024], MATRIX),
            ("model.decoder.project_in.weight", &[1024, 512], MATRIX),
            ("model.decoder.layers.0.self_attn.out_proj.weight", &[1024, 1024], MATRIX),
            ("model.decoder.layers.0.fc1.weight", &[4096, 1024], MATRIX),
            ("model.decoder.layers.0.fc2.weight", &[1024, 4096], MATRIX),
        ],
    ),
];
