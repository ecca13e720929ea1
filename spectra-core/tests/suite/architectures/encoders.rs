use super::{Architecture, BIAS, EMBEDDING, FUSED, HEAD, MATRIX, NORM};

pub(crate) const ALL: &[Architecture] = &[
    (
        "BERT-base for pre-training, transformers",
        &[
            ("bert.embeddings.word_embeddings.weight", &[30522, 768], EMBEDDING),
            ("bert.embeddings.position_embeddings.weight", &[512, 768], EMBEDDING),
            ("bert.embeddings.token_type_embeddings.weight", &[2, 768], EMBEDDING),
            ("bert.embeddings.LayerNorm.weight", &[768], NORM),
            ("bert.encoder.layer.0.attention.self.query.weight", &[768, 768], MATRIX),
            ("bert.encoder.layer.0.attention.self.query.bias", &[768], BIAS),
            ("bert.encoder.layer.0.attention.output.dense.weight", &[768, 768], MATRIX),
            ("bert.encoder.layer.0.intermediate.dense.weight", &[3072, 768], MATRIX),
            ("bert.encoder.layer.0.output.dense.weight", &[768, 3072], MATRIX),
            ("bert.encoder.layer.0.output.LayerNorm.weight", &[768], NORM),
            ("bert.pooler.dense.weight", &[768, 768], MATRIX),
            ("cls.predictions.bias", &[30522], BIAS),
            ("cls.predictions.transform.dense.weight", &[768, 768], MATRIX),
            ("cls.predictions.transform.LayerNorm.weight", &[768], NORM),
            ("cls.predictions.decoder.weight", &[30522, 768], HEAD),
            ("cls.seq_relationship.weight", &[2, 768], HEAD),
        ],
    ),
    (
        "RoBERTa-base for classification, transformers",
        &[
            ("roberta.embeddings.word_embeddings.weight", &[50265, 768], EMBEDDING),
            ("roberta.encoder.layer.0.output.dense.weight", &[768, 3072], MATRIX),
            ("classifier.dense.weight", &[768, 768], MATRIX),
            ("classifier.out_proj.weight", &[3, 768], HEAD),
        ],
    ),
    (
        "DistilBERT for masked language modelling, transformers",
        &[
            ("distilbert.embeddings.word_embeddings.weight", &[30522, 768], EMBEDDING),
            ("distilbert.transformer.layer.0.attention.q_lin.weight", &[768, 768], MATRIX),
            ("distilbert.transformer.layer.0.ffn.lin1.weight", &[3072, 768], MATRIX),
            ("distilbert.transformer.layer.0.sa_layer_norm.weight", &[768], NORM),
            ("vocab_transform.weight", &[768, 768], MATRIX),
            ("vocab_layer_norm.weight", &[768], NORM),
            ("vocab_projector.weight", &[30522, 768], HEAD),
        ],
    ),
    (
        "ALBERT-base for masked language modelling, transformers",
        &[
            ("albert.embeddings.word_embeddings.weight", &[30000, 128], EMBEDDING),
            ("albert.encoder.embedding_hidden_mapping_in.weight", &[768, 128], MATRIX),
            (
                "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.query.weight",
                &[768, 768],
                MATRIX,
            ),
            ("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", &[3072, 768], MATRIX),
            ("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output.weight", &[768, 3072], MATRIX),
            ("predictions.dense.weight", &[128, 768], MATRIX),
            ("predictions.LayerNorm.weight", &[128], NORM),
            ("predictions.decoder.weight", &[30000, 128], HEAD),
        ],
    ),
    (
        "T5-small, transformers",
        &[
            ("shared.weight", &[32128, 512], EMBEDDING),
            ("encoder.block.0.layer.0.SelfAttention.q.weight", &[512, 512], MATRIX),
            ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", &[32, 8], BIAS),
            ("encoder.block.0.layer.0.layer_norm.weight", &[512], NORM),
            ("encoder.block.0.layer.1.DenseReluDense.wi.weight", &[2048, 512], MATRIX),
            ("encoder.block.0.layer.1.DenseReluDense.wo.weight", &[512, 2048], MATRIX),
            ("decoder.block.0.layer.1.EncDecAttention.k.weight", &[512, 512], MATRIX),
            ("decoder.final_layer_norm.weight", &[512], NORM),
            ("lm_head.weight", &[32128, 512], HEAD),
        ],
    ),
    (
        "BART-large for classification, transformers",
        &[
            ("model.shared.weight", &[50265, 1024], EMBEDDING),
            ("model.encoder.embed_positions.weight", &[1026, 1024], EMBEDDING),
            ("model.encoder.layers.0.self_attn.out_proj.weight", &[1024, 1024], MATRIX),
            ("model.encoder.layers.0.fc1.weight", &[4096, 1024], MATRIX),
            ("model.decoder.layers.0.fc2.weight", &[1024, 4096], MATRIX),
            ("model.decoder.layernorm_embedding.weight", &[1024], NORM),
            ("classification_head.dense.weight", &[1024, 1024], MATRIX),
            ("classification_head.out_proj.weight", &[3, 1024], HEAD),
        ],
    ),
    (
        "BERT-base for question answering, transformers",
        &[
            ("bert.encoder.layer.0.attention.self.value.weight", &[768, 768], MATRIX),
            ("qa_outputs.weight", &[2, 768], HEAD),
        ],
    ),
    (
        "Tables under short names",
        &[
            ("tok.weight", &[256, 64], EMBEDDING),
            ("vocab.weight", &[256, 64], EMBEDDING),
            ("token_type.weight", &[2, 64], EMBEDDING),
            ("pos.weight", &[128, 64], EMBEDDING),
            ("token_embd.weight", &[256, 64], EMBEDDING),
            ("blocks.0.attn.qkv.weight", &[192, 64], FUSED),
            ("blocks.0.token_mixer.weight", &[64, 64], MATRIX),
        ],
    ),
];
