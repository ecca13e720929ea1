use super::{Architecture, BIAS, EMBEDDING, EXPERTS, HEAD, MATRIX, NORM, NOT_SPLIT, STACKED, VECTOR};

pub(crate) const ALL: &[Architecture] = &[
    (
        "Mixtral-8x7B, transformers 4",
        &[
            ("model.embed_tokens.weight", &[32000, 4096], EMBEDDING),
            ("model.layers.0.self_attn.q_proj.weight", &[4096, 4096], MATRIX),
            ("model.layers.0.block_sparse_moe.gate.weight", &[8, 4096], MATRIX),
            ("model.layers.0.block_sparse_moe.experts.0.w1.weight", &[14336, 4096], MATRIX),
            ("model.layers.0.block_sparse_moe.experts.0.w2.weight", &[4096, 14336], MATRIX),
            ("lm_head.weight", &[32000, 4096], HEAD),
        ],
    ),
    (
        "Mixtral-8x7B, transformers 5",
        &[
            ("model.layers.0.mlp.gate.weight", &[8, 4096], MATRIX),
            ("model.layers.0.mlp.experts.gate_up_proj", &[8, 28672, 4096], STACKED),
            ("model.layers.0.mlp.experts.down_proj", &[8, 4096, 14336], STACKED),
        ],
    ),
    (
        "DeepSeek-V3",
        &[
            ("model.embed_tokens.weight", &[129_280, 7168], EMBEDDING),
            ("model.layers.0.self_attn.q_a_proj.weight", &[1536, 7168], MATRIX),
            ("model.layers.0.self_attn.q_a_layernorm.weight", &[1536], NORM),
            ("model.layers.0.self_attn.q_b_proj.weight", &[24576, 1536], MATRIX),
            ("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", &[576, 7168], MATRIX),
            ("model.layers.0.self_attn.kv_b_proj.weight", &[32768, 512], MATRIX),
            ("model.layers.0.self_attn.o_proj.weight", &[7168, 16384], MATRIX),
            ("model.layers.0.mlp.gate_proj.weight", &[18432, 7168], MATRIX),
            ("model.layers.3.mlp.gate.weight", &[256, 7168], MATRIX),
            ("model.layers.3.mlp.gate.e_score_correction_bias", &[256], BIAS),
            ("model.layers.3.mlp.experts.0.gate_proj.weight", &[2048, 7168], MATRIX),
            ("model.layers.3.mlp.shared_experts.gate_proj.weight", &[2048, 7168], MATRIX),
            ("model.norm.weight", &[7168], NORM),
            ("lm_head.weight", &[129_280, 7168], HEAD),
            ("model.layers.61.embed_tokens.weight", &[129_280, 7168], EMBEDDING),
            ("model.layers.61.enorm.weight", &[7168], NORM),
            ("model.layers.61.eh_proj.weight", &[7168, 14336], MATRIX),
            ("model.layers.61.shared_head.norm.weight", &[7168], NORM),
            ("model.layers.61.shared_head.head.weight", &[129_280, 7168], HEAD),
        ],
    ),
    (
        "gpt-oss-20b, transformers",
        &[
            ("model.embed_tokens.weight", &[201_088, 2880], EMBEDDING),
            ("model.layers.0.self_attn.sinks", &[64], VECTOR),
            ("model.layers.0.mlp.router.weight", &[32, 2880], MATRIX),
            ("model.layers.0.mlp.experts.gate_up_proj", &[32, 2880, 5760], STACKED),
            ("model.layers.0.mlp.experts.gate_up_proj_bias", &[32, 5760], BIAS),
            ("model.layers.0.mlp.experts.down_proj", &[32, 2880, 2880], STACKED),
            ("lm_head.weight", &[201_088, 2880], HEAD),
        ],
    ),
    (
        "Qwen1.5-MoE-A2.7B, transformers 4",
        &[
            ("model.layers.0.mlp.gate.weight", &[60, 2048], MATRIX),
            ("model.layers.0.mlp.experts.0.up_proj.weight", &[1408, 2048], MATRIX),
            ("model.layers.0.mlp.shared_expert.up_proj.weight", &[5632, 2048], MATRIX),
            ("model.layers.0.mlp.shared_expert_gate.weight", &[1, 2048], VECTOR),
        ],
    ),
    (
        "DBRX, transformers: all experts one under the other",
        &[
            ("transformer.wte.weight", &[100_352, 6144], EMBEDDING),
            ("transformer.blocks.0.norm_attn_norm.norm_1.weight", &[6144], NORM),
            ("transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", &[8192, 6144], NOT_SPLIT),
            ("transformer.blocks.0.ffn.router.layer.weight", &[16, 6144], MATRIX),
            ("transformer.blocks.0.ffn.experts.mlp.w1", &[172_032, 6144], EXPERTS),
            ("transformer.norm_f.weight", &[6144], NORM),
            ("lm_head.weight", &[100_352, 6144], HEAD),
        ],
    ),
    (
        "DSpark's head for speculative decoding",
        &[
            ("mtp.2.norm.weight", &[4096], NORM),
            ("mtp.2.markov_head.markov_w1.weight", &[129_280, 256], HEAD),
            ("mtp.2.markov_head.markov_w2.weight", &[129_280, 256], HEAD),
        ],
    ),
];
