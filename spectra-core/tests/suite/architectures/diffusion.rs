use super::{Architecture, BIAS, CONVOLUTION, EMBEDDING, HEAD, MATRIX, NORM};

pub(crate) const ALL: &[Architecture] = &[
    (
        "Stable Diffusion 1.5's UNet, diffusers",
        &[
            ("conv_in.weight", &[320, 4, 3, 3], CONVOLUTION),
            ("time_embedding.linear_1.weight", &[1280, 320], MATRIX),
            ("down_blocks.0.attentions.0.norm.weight", &[320], NORM),
            ("down_blocks.0.attentions.0.proj_in.weight", &[320, 320, 1, 1], CONVOLUTION),
            ("down_blocks.0.attentions.0.transformer_blocks.0.norm1.weight", &[320], NORM),
            ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight", &[320, 320], MATRIX),
            ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.weight", &[320, 320], MATRIX),
            ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", &[320, 768], MATRIX),
            ("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight", &[2560, 320], MATRIX),
            ("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2.weight", &[320, 1280], MATRIX),
            ("down_blocks.0.attentions.0.proj_out.weight", &[320, 320, 1, 1], CONVOLUTION),
            ("down_blocks.0.resnets.0.conv1.weight", &[320, 320, 3, 3], CONVOLUTION),
            ("down_blocks.0.resnets.0.time_emb_proj.weight", &[320, 1280], MATRIX),
            ("down_blocks.0.resnets.0.time_emb_proj.bias", &[320], BIAS),
            ("down_blocks.0.downsamplers.0.conv.weight", &[320, 320, 3, 3], CONVOLUTION),
            ("conv_norm_out.weight", &[320], NORM),
            ("conv_out.weight", &[4, 320, 3, 3], CONVOLUTION),
        ],
    ),
    (
        "Stable Diffusion XL's UNet, diffusers: linear projections",
        &[
            ("down_blocks.1.attentions.0.proj_in.weight", &[640, 640], MATRIX),
            ("down_blocks.1.attentions.0.proj_out.weight", &[640, 640], MATRIX),
            ("add_embedding.linear_1.weight", &[1280, 2816], MATRIX),
        ],
    ),
    (
        "Stable Diffusion's autoencoder, CompVis",
        &[
            ("encoder.conv_in.weight", &[128, 3, 3, 3], CONVOLUTION),
            ("encoder.down.0.block.0.conv1.weight", &[128, 128, 3, 3], CONVOLUTION),
            ("decoder.mid.attn_1.q.weight", &[512, 512, 1, 1], CONVOLUTION),
            ("decoder.mid.attn_1.proj_out.weight", &[512, 512, 1, 1], CONVOLUTION),
            ("decoder.norm_out.weight", &[128], NORM),
            ("quant_conv.weight", &[8, 8, 1, 1], CONVOLUTION),
        ],
    ),
    (
        "FLUX.1, diffusers",
        &[
            ("time_text_embed.timestep_embedder.linear_1.weight", &[3072, 256], MATRIX),
            ("x_embedder.weight", &[3072, 64], EMBEDDING),
            ("transformer_blocks.0.norm1.linear.weight", &[18432, 3072], MATRIX),
            ("transformer_blocks.0.attn.to_q.weight", &[3072, 3072], MATRIX),
            ("transformer_blocks.0.attn.norm_q.weight", &[128], NORM),
            ("single_transformer_blocks.0.proj_mlp.weight", &[12288, 3072], MATRIX),
            ("single_transformer_blocks.0.proj_out.weight", &[3072, 15360], MATRIX),
            ("norm_out.linear.weight", &[6144, 3072], MATRIX),
            ("proj_out.weight", &[64, 3072], HEAD),
        ],
    ),
];
