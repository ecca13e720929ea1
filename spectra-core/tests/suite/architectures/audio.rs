//! Sound, and models with a recurrence.

use super::{
    Architecture, BIAS, CONVOLUTION, DEPTHWISE, EMBEDDING, HEAD, MATRIX, NORM, RECURRENCE, UNKNOWN, VECTOR,
};

pub(crate) const ALL: &[Architecture] = &[
    (
        "Whisper-tiny, transformers",
        &[
            ("model.encoder.conv1.weight", &[384, 80, 3], CONVOLUTION),
            ("model.encoder.conv2.weight", &[384, 384, 3], CONVOLUTION),
            ("model.encoder.embed_positions.weight", &[1500, 384], EMBEDDING),
            ("model.encoder.layers.0.self_attn.k_proj.weight", &[384, 384], MATRIX),
            ("model.encoder.layers.0.self_attn_layer_norm.weight", &[384], NORM),
            ("model.encoder.layers.0.fc1.weight", &[1536, 384], MATRIX),
            ("model.encoder.layer_norm.weight", &[384], NORM),
            ("model.decoder.embed_tokens.weight", &[51865, 384], EMBEDDING),
            ("model.decoder.layers.0.encoder_attn.q_proj.weight", &[384, 384], MATRIX),
            ("model.decoder.layers.0.fc2.weight", &[384, 1536], MATRIX),
            ("proj_out.weight", &[51865, 384], HEAD),
        ],
    ),
    (
        "wav2vec2-base for CTC, transformers",
        &[
            ("wav2vec2.masked_spec_embed", &[768], EMBEDDING),
            ("wav2vec2.feature_extractor.conv_layers.0.conv.weight", &[512, 1, 10], DEPTHWISE),
            ("wav2vec2.feature_extractor.conv_layers.0.layer_norm.weight", &[512], NORM),
            ("wav2vec2.feature_extractor.conv_layers.1.conv.weight", &[512, 512, 3], CONVOLUTION),
            ("wav2vec2.feature_projection.projection.weight", &[768, 512], MATRIX),
            // 16 groups of 48 channels, normalised weights: no one matrix.
            ("wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original0", &[1, 1, 128], VECTOR),
            (
                "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original1",
                &[768, 48, 128],
                UNKNOWN,
            ),
            ("wav2vec2.encoder.layers.0.attention.k_proj.weight", &[768, 768], MATRIX),
            ("wav2vec2.encoder.layers.0.feed_forward.intermediate_dense.weight", &[3072, 768], MATRIX),
            ("wav2vec2.encoder.layers.0.feed_forward.output_dense.weight", &[768, 3072], MATRIX),
            ("lm_head.weight", &[32, 768], HEAD),
        ],
    ),
    (
        "MusicGen-small, transformers",
        &[
            ("decoder.model.decoder.embed_tokens.0.weight", &[2049, 1024], EMBEDDING),
            ("decoder.model.decoder.layers.0.fc1.weight", &[4096, 1024], MATRIX),
            ("decoder.lm_heads.0.weight", &[2048, 1024], HEAD),
            ("enc_to_dec_proj.weight", &[1024, 768], MATRIX),
        ],
    ),
    (
        "Mamba-130M, transformers",
        &[
            ("backbone.embeddings.weight", &[50280, 768], EMBEDDING),
            ("backbone.layers.0.norm.weight", &[768], NORM),
            ("backbone.layers.0.mixer.A_log", &[1536, 16], RECURRENCE),
            ("backbone.layers.0.mixer.D", &[1536], VECTOR),
            ("backbone.layers.0.mixer.conv1d.weight", &[1536, 1, 4], DEPTHWISE),
            ("backbone.layers.0.mixer.conv1d.bias", &[1536], BIAS),
            ("backbone.layers.0.mixer.in_proj.weight", &[3072, 768], MATRIX),
            ("backbone.layers.0.mixer.x_proj.weight", &[80, 1536], MATRIX),
            ("backbone.layers.0.mixer.dt_proj.weight", &[1536, 48], MATRIX),
            ("backbone.layers.0.mixer.out_proj.weight", &[768, 1536], MATRIX),
            ("backbone.norm_f.weight", &[768], NORM),
            ("lm_head.weight", &[50280, 768], HEAD),
        ],
    ),
    (
        "RWKV-5-World-0.4B",
        &[
            ("rwkv.embeddings.weight", &[65536, 1024], EMBEDDING),
            ("rwkv.blocks.0.ln1.weight", &[1024], NORM),
            ("rwkv.blocks.0.attention.time_decay", &[16, 64], RECURRENCE),
            ("rwkv.blocks.0.attention.time_faaaa", &[16, 64], RECURRENCE),
            ("rwkv.blocks.0.attention.time_mix_key", &[1, 1, 1024], VECTOR),
            ("rwkv.blocks.0.attention.key.weight", &[1024, 1024], MATRIX),
            ("rwkv.blocks.0.attention.output.weight", &[1024, 1024], MATRIX),
            ("rwkv.blocks.0.feed_forward.key.weight", &[3584, 1024], MATRIX),
            ("head.weight", &[65536, 1024], HEAD),
        ],
    ),
];
