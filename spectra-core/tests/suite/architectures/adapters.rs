use super::{Architecture, EMBEDDING, HEAD, LOW_RANK, MATRIX};

pub(crate) const ALL: &[Architecture] = &[
    (
        "LoRA on LLaMA-3-8B, PEFT",
        &[
            ("base_model.model.model.embed_tokens.base_layer.weight", &[128_256, 4096], EMBEDDING),
            ("base_model.model.model.embed_tokens.lora_embedding_A.default", &[8, 128_256], LOW_RANK),
            ("base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight", &[4096, 4096], MATRIX),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", &[8, 4096], LOW_RANK),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight", &[4096, 8], LOW_RANK),
            ("base_model.model.lm_head.lora_B.weight", &[128_256, 8], LOW_RANK),
        ],
    ),
    (
        "LoRA on a UNet: diffusers, kohya",
        &[
            (
                "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
                &[4, 1280],
                LOW_RANK,
            ),
            (
                "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
                &[1280, 4],
                LOW_RANK,
            ),
            ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", &[4, 1280, 1, 1], LOW_RANK),
            ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", &[3072, 4], LOW_RANK),
        ],
    ),
    (
        "LoRA by burn's apply_lora, and by MLX",
        &[
            ("layers.0.attention.query.weight.lora.a", &[512, 8], LOW_RANK),
            ("layers.0.attention.query.weight.lora.b", &[8, 512], LOW_RANK),
            ("layers.0.attention.query.lora_a", &[512, 8], LOW_RANK),
        ],
    ),
    (
        "A model that is only called after LoRA",
        &[
            ("lora_model.embed.weight", &[1000, 64], EMBEDDING),
            ("lora_model.layers.0.up.weight", &[256, 64], MATRIX),
            ("lora_model.lm_head.weight", &[1000, 64], HEAD),
        ],
    ),
];
