use super::{
    Architecture, BIAS, CONVOLUTION, DEPTHWISE, EMBEDDING, FUSED, HEAD, MATRIX, NORM, SCALAR, VECTOR,
};

pub(crate) const ALL: &[Architecture] = &[
    (
        "ViT-B/16, transformers",
        &[
            ("vit.embeddings.cls_token", &[1, 1, 768], EMBEDDING),
            ("vit.embeddings.position_embeddings", &[1, 197, 768], EMBEDDING),
            ("vit.embeddings.patch_embeddings.projection.weight", &[768, 3, 16, 16], CONVOLUTION),
            ("vit.encoder.layer.0.attention.attention.query.weight", &[768, 768], MATRIX),
            ("vit.encoder.layer.0.attention.output.dense.weight", &[768, 768], MATRIX),
            ("vit.encoder.layer.0.intermediate.dense.weight", &[3072, 768], MATRIX),
            ("vit.encoder.layer.0.layernorm_before.weight", &[768], NORM),
            ("vit.layernorm.weight", &[768], NORM),
            ("classifier.weight", &[1000, 768], HEAD),
        ],
    ),
    (
        "ViT-B/16, timm",
        &[
            ("cls_token", &[1, 1, 768], VECTOR),
            ("pos_embed", &[1, 197, 768], EMBEDDING),
            ("patch_embed.proj.weight", &[768, 3, 16, 16], CONVOLUTION),
            ("blocks.0.norm1.weight", &[768], NORM),
            ("blocks.0.attn.qkv.weight", &[2304, 768], FUSED),
            ("blocks.0.mlp.fc1.weight", &[3072, 768], MATRIX),
            ("blocks.0.mlp.fc2.weight", &[768, 3072], MATRIX),
            ("head.weight", &[1000, 768], HEAD),
        ],
    ),
    (
        "CLIP ViT-B/32, transformers",
        &[
            ("logit_scale", &[], SCALAR),
            ("text_model.embeddings.token_embedding.weight", &[49408, 512], EMBEDDING),
            ("text_model.embeddings.position_embedding.weight", &[77, 512], EMBEDDING),
            ("text_model.encoder.layers.0.self_attn.k_proj.weight", &[512, 512], MATRIX),
            ("text_model.encoder.layers.0.mlp.fc1.weight", &[2048, 512], MATRIX),
            ("text_model.final_layer_norm.weight", &[512], NORM),
            ("vision_model.embeddings.class_embedding", &[768], EMBEDDING),
            ("vision_model.embeddings.patch_embedding.weight", &[768, 3, 32, 32], CONVOLUTION),
            ("vision_model.pre_layrnorm.weight", &[768], NORM),
            ("vision_model.encoder.layers.0.mlp.fc2.weight", &[768, 3072], MATRIX),
            ("visual_projection.weight", &[512, 768], MATRIX),
            ("text_projection.weight", &[512, 512], MATRIX),
        ],
    ),
    (
        "ConvNeXt-tiny, transformers",
        &[
            ("convnext.embeddings.patch_embeddings.weight", &[96, 3, 4, 4], CONVOLUTION),
            ("convnext.embeddings.layernorm.weight", &[96], NORM),
            ("convnext.encoder.stages.0.layers.0.layer_scale_parameter", &[96], VECTOR),
            ("convnext.encoder.stages.0.layers.0.dwconv.weight", &[96, 1, 7, 7], DEPTHWISE),
            ("convnext.encoder.stages.0.layers.0.pwconv1.weight", &[384, 96], MATRIX),
            ("convnext.encoder.stages.0.layers.0.pwconv2.weight", &[96, 384], MATRIX),
            ("convnext.encoder.stages.1.downsampling_layer.0.weight", &[96], VECTOR),
            ("convnext.encoder.stages.1.downsampling_layer.1.weight", &[192, 96, 2, 2], CONVOLUTION),
            ("classifier.weight", &[1000, 768], HEAD),
        ],
    ),
    (
        "ConvNeXt-tiny, timm",
        &[
            ("stem.0.weight", &[96, 3, 4, 4], CONVOLUTION),
            ("stages.0.blocks.0.conv_dw.weight", &[96, 1, 7, 7], DEPTHWISE),
            ("stages.0.blocks.0.mlp.fc1.weight", &[384, 96], MATRIX),
            ("head.norm.weight", &[768], NORM),
            ("head.fc.weight", &[1000, 768], HEAD),
        ],
    ),
    (
        "ResNet-50, torchvision",
        &[
            ("conv1.weight", &[64, 3, 7, 7], CONVOLUTION),
            ("bn1.weight", &[64], NORM),
            ("layer1.0.conv1.weight", &[64, 64, 1, 1], CONVOLUTION),
            ("layer1.0.bn1.weight", &[64], NORM),
            ("layer1.0.conv2.weight", &[64, 64, 3, 3], CONVOLUTION),
            ("layer1.0.downsample.0.weight", &[256, 64, 1, 1], CONVOLUTION),
            ("layer1.0.downsample.1.weight", &[256], VECTOR),
            ("fc.weight", &[1000, 2048], HEAD),
            ("fc.bias", &[1000], BIAS),
        ],
    ),
    (
        "GoogLeNet, torchvision",
        &[
            ("conv1.conv.weight", &[64, 3, 7, 7], CONVOLUTION),
            ("inception3a.branch1.conv.weight", &[64, 192, 1, 1], CONVOLUTION),
            ("aux1.fc1.weight", &[1024, 2048], MATRIX),
            ("aux2.fc1.weight", &[1024, 2048], MATRIX),
            ("fc.weight", &[1000, 1024], HEAD),
        ],
    ),
    (
        "EfficientNet-B0, torchvision",
        &[
            ("features.0.0.weight", &[32, 3, 3, 3], CONVOLUTION),
            ("features.1.0.block.0.0.weight", &[32, 1, 3, 3], DEPTHWISE),
            ("features.1.0.block.1.fc1.weight", &[8, 32, 1, 1], CONVOLUTION),
            ("classifier.1.weight", &[1000, 1280], HEAD),
        ],
    ),
    (
        "Swin-tiny, transformers",
        &[
            ("swin.embeddings.patch_embeddings.projection.weight", &[96, 3, 4, 4], CONVOLUTION),
            ("swin.encoder.layers.0.blocks.0.attention.self.relative_position_bias_table", &[169, 3], BIAS),
            ("swin.encoder.layers.0.blocks.0.attention.self.query.weight", &[96, 96], MATRIX),
            ("swin.encoder.layers.0.downsample.reduction.weight", &[192, 384], MATRIX),
            ("classifier.weight", &[1000, 768], HEAD),
        ],
    ),
];
