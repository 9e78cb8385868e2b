"""A tiny random model of every supported family and variant, from the real configuration classes."""

from __future__ import annotations

from zoo_specimen import ENCODER, LLAMA_LIKE, SPECIAL, VOCABULARY, Specimen, llama_like

SLIDING = {"sliding_window": 4}
MINISTRAL3_POSITIONS = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}  # fmt: skip

ZOO: tuple[Specimen, ...] = (
    Specimen(
        name="gpt2",
        family="gpt2",
        model="GPT2LMHeadModel",
        config="GPT2Config",
        settings={
            "n_layer": 3, "n_embd": 32, "n_head": 4, "n_inner": 12, "n_positions": 64,
            "vocab_size": VOCABULARY, **SPECIAL,
        },
    ),
    Specimen(
        name="gpt_neo",
        family="gpt_neo",
        model="GPTNeoForCausalLM",
        config="GPTNeoConfig",
        settings={
            "num_layers": 3, "hidden_size": 32, "num_heads": 4, "intermediate_size": 12, "window_size": 4,
            "attention_types": [[["global", "local", "global"], 1]], "max_position_embeddings": 64,
            "vocab_size": VOCABULARY, **SPECIAL,
        },
    ),
    *(
        Specimen(
            name=name,
            family=family,
            model=f"{stem}ForCausalLM",
            config=f"{stem}Config",
            settings={
                **ENCODER, "max_position_embeddings": 64, "vocab_size": VOCABULARY, **SPECIAL, **settings,
            },
        )
        for name, family, stem, settings in (
            ("gpt_neox", "gpt_neox", "GPTNeoX", {}),
            (
                "gpt_neox_sequential",
                "gpt_neox",
                "GPTNeoX",
                {"use_parallel_residual": False, "attention_bias": False},
            ),
            ("persimmon", "persimmon", "Persimmon", {}),
            ("persimmon_no_qk_norm", "persimmon", "Persimmon", {"qk_layernorm": False}),
        )
    ),
    *(
        Specimen(
            name=name,
            family=family,
            model="OPTForCausalLM",
            config="OPTConfig",
            settings={
                "hidden_size": 32, "ffn_dim": 12, "num_hidden_layers": 3, "num_attention_heads": 4,
                "max_position_embeddings": 64, "word_embed_proj_dim": 32, "vocab_size": VOCABULARY,
                **SPECIAL, **settings,
            },
        )
        for name, family, settings in (
            ("opt", "opt", {}),
            ("opt_post", "opt_post", {"do_layer_norm_before": False, "word_embed_proj_dim": 16}),
        )
    ),
    Specimen(
        name="bloom",
        family="bloom",
        model="BloomForCausalLM",
        config="BloomConfig",
        settings={"hidden_size": 32, "n_layer": 3, "n_head": 4, "vocab_size": VOCABULARY, **SPECIAL},
    ),
    Specimen(
        name="mpt",
        family="mpt",
        model="MptForCausalLM",
        config="MptConfig",
        settings={
            "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64, "vocab_size": VOCABULARY,
            **SPECIAL,
        },
    ),
    *(
        Specimen(
            name=name,
            family="phi",
            model="PhiForCausalLM",
            config="PhiConfig",
            settings={
                **ENCODER, "num_key_value_heads": 2, "max_position_embeddings": 64,
                "vocab_size": VOCABULARY, **SPECIAL, **settings,
            },
        )
        for name, settings in (("phi", {}), ("phi_qk_norm", {"qk_layernorm": True}))
    ),
    *(
        Specimen(
            name=name,
            family=family,
            model="FalconForCausalLM",
            config="FalconConfig",
            settings={
                "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_hidden_size": 12,
                "vocab_size": VOCABULARY, "bias": True, **SPECIAL, **settings,
            },
        )
        for name, family, settings in (
            ("falcon", "falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False}),
            (
                "falcon_one_norm_alibi",
                "falcon",
                {
                    "new_decoder_architecture": True, "num_kv_heads": 2, "alibi": True,
                    "num_ln_in_parallel_attn": 1,
                },
            ),
            ("falcon_mqa", "falcon_mqa", {"multi_query": True, "alibi": False}),
            (
                "falcon_mqa_sequential_alibi",
                "falcon_mqa",
                {"multi_query": True, "alibi": True, "parallel_attn": False},
            ),
            ("falcon_mha", "falcon_mha", {"multi_query": False, "alibi": False}),
            (
                "falcon_mha_alibi",
                "falcon_mha",
                {"multi_query": False, "alibi": True, "parallel_attn": False},
            ),
        )
    ),
    *(
        Specimen(
            name=name,
            family=family,
            model=model,
            config=config,
            settings={
                **ENCODER, "max_position_embeddings": 64, "vocab_size": VOCABULARY, "pad_token_id": 0,
                **settings,
            },
        )
        for name, family, model, config, settings in (
            ("bert", "bert", "BertForMaskedLM", "BertConfig", {}),
            ("bert_decoder", "bert", "BertLMHeadModel", "BertConfig", {"is_decoder": True}),
            ("electra", "bert", "ElectraForMaskedLM", "ElectraConfig", {"embedding_size": 16}),
            ("ernie", "bert", "ErnieForMaskedLM", "ErnieConfig", {"use_task_id": True}),
            ("roberta", "roberta", "RobertaForMaskedLM", "RobertaConfig", {}),
            ("data2vec_text", "roberta", "Data2VecTextForMaskedLM", "Data2VecTextConfig", {}),
            (
                "roberta_prelayernorm",
                "roberta_prelayernorm",
                "RobertaPreLayerNormForMaskedLM",
                "RobertaPreLayerNormConfig",
                {},
            ),
            ("camembert", "roberta", "CamembertForMaskedLM", "CamembertConfig", {}),
            (
                "xlm_roberta_decoder",
                "roberta",
                "XLMRobertaForCausalLM",
                "XLMRobertaConfig",
                {"is_decoder": True},
            ),
        )
    ),
    Specimen(
        name="distilbert",
        family="distilbert",
        model="DistilBertForMaskedLM",
        config="DistilBertConfig",
        settings={
            "dim": 32, "hidden_dim": 12, "n_layers": 3, "n_heads": 4, "max_position_embeddings": 64,
            "vocab_size": VOCABULARY, "pad_token_id": 0,
        },
    ),
    *(
        Specimen(
            name=name,
            family=family,
            model=model,
            config=f"{stem}Config",
            settings={
                **ENCODER, "max_position_embeddings": 64, "vocab_size": VOCABULARY, **SPECIAL,
                "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
                "local_attention": 8, "global_attn_every_n_layers": 2, **settings,
            },
        )
        for name, family, model, stem, settings in (
            ("modernbert", "modernbert", "ModernBertForMaskedLM", "ModernBert", {}),
            (
                "modernbert_biased",
                "modernbert",
                "ModernBertForMaskedLM",
                "ModernBert",
                {"attention_bias": True, "mlp_bias": True},
            ),
            (
                "modernbert_decoder",
                "modernbert_decoder",
                "ModernBertDecoderForCausalLM",
                "ModernBertDecoder",
                {"eos_token_id": None},
            ),
        )
    ),
    *(
        Specimen(
            name=family,
            family=family,
            model=f"{stem}ForMaskedLM",
            config=f"{stem}Config",
            settings={
                **ENCODER, "max_position_embeddings": 64, "vocab_size": VOCABULARY, "pad_token_id": 0,
                **settings,
            },
        )
        for family, stem, settings in (
            ("nomic_bert", "NomicBert", {}),
            ("gte", "Gte", {}),
            (
                "eurobert",
                "EuroBert",
                {
                    "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3,
                    "attention_bias": True,
                },
            ),
        )
    ),
    *(
        Specimen(
            name=name,
            family="deberta_v2",
            model="DebertaV2ForMaskedLM",
            config="DebertaV2Config",
            settings={
                **ENCODER, "max_position_embeddings": 64, "vocab_size": VOCABULARY, "pad_token_id": 0,
                "relative_attention": True, "share_att_key": True, "pos_att_type": ["p2c", "c2p"],
                "norm_rel_ebd": "layer_norm", "position_biased_input": False, **settings,
            },
        )
        for name, settings in (
            ("deberta_v3", {"position_buckets": 8}),
            (
                "deberta_v2_absolute",
                {"relative_attention": False, "position_biased_input": True, "legacy": False},
            ),
        )
    ),
    *(
        Specimen(
            name=name,
            family="vit",
            model=f"{stem}ForImageClassification",
            config=f"{stem}Config",
            settings={**ENCODER, "image_size": 16, "patch_size": 4, "num_labels": 5},
            inputs="pixels",
        )
        for name, stem in (("vit", "ViT"), ("deit", "DeiT"))
    ),
    Specimen(
        name="whisper",
        family="whisper",
        model="WhisperForConditionalGeneration",
        config="WhisperConfig",
        settings={
            "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "num_mel_bins": 8,
            "max_source_positions": 10, "max_target_positions": 64, "vocab_size": VOCABULARY,
            "decoder_start_token_id": 1, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
            "suppress_tokens": None, "begin_suppress_tokens": None,
        },
        inputs="sound",
    ),
    *(
        Specimen(
            name=name,
            family=family,
            model=model,
            config=f"{stem}Config",
            settings={
                "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
                "decoder_attention_heads": 4, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12,
                "max_position_embeddings": 64, "vocab_size": VOCABULARY, "decoder_start_token_id": 1,
                "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "forced_eos_token_id": None,
            },
            inputs="pairs",
        )
        for name, family, model, stem in (
            ("bart", "bart", "BartForConditionalGeneration", "Bart"),
            ("marian", "bart", "MarianMTModel", "Marian"),
            ("mbart", "mbart", "MBartForConditionalGeneration", "MBart"),
            ("m2m_100", "mbart", "M2M100ForConditionalGeneration", "M2M100"),
        )
    ),
    llama_like("llama", "Llama"),
    llama_like(
        "llama", "Llama", "llama_biased", attention_bias=True, mlp_bias=True, tie_word_embeddings=True
    ),
    llama_like("mistral", "Mistral", **SLIDING),
    llama_like(
        "ministral", "Ministral", layer_types=["full_attention", "sliding_attention", "full_attention"],
        **SLIDING,
    ),
    llama_like("ministral", "Ministral3", "ministral3", rope_parameters=MINISTRAL3_POSITIONS),
    llama_like(
        "ministral", "Cwm", "cwm", layer_types=["full_attention", "sliding_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **SLIDING,
    ),
    llama_like("helium", "Helium"),
    llama_like("jais2", "Jais2"),
    llama_like("apertus", "Apertus", rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    llama_like(
        "qwen2", "Qwen2", use_sliding_window=True, max_window_layers=1, **SLIDING
    ),
    llama_like("qwen3", "Qwen3", head_dim=12),
    llama_like("gemma", "Gemma", num_key_value_heads=1, head_dim=16),
    llama_like("gemma2", "Gemma2", query_pre_attn_scalar=8, **SLIDING),
    Specimen(
        name="gemma3",
        family="gemma3",
        model="Gemma3ForCausalLM",
        config="Gemma3TextConfig",
        settings={**LLAMA_LIKE, "query_pre_attn_scalar": 8, "sliding_window_pattern": 2, **SLIDING},
    ),
    llama_like("seed_oss", "SeedOss", attention_bias=True),
    llama_like("ernie4_5", "Ernie4_5", use_bias=True),
    llama_like("phi3", "Phi3"),
    llama_like("glm", "Glm", attention_bias=True),
    llama_like("glm4", "Glm4", attention_bias=True),
    Specimen(
        name="starcoder2",
        family="starcoder2",
        model="Starcoder2ForCausalLM",
        config="Starcoder2Config",
        settings={key: value for key, value in LLAMA_LIKE.items() if key != "head_dim"},
    ),
    *(
        Specimen(
            name=name,
            family="stablelm",
            model="StableLmForCausalLM",
            config="StableLmConfig",
            settings={
                **{key: value for key, value in LLAMA_LIKE.items() if key != "head_dim"}, **settings,
            },
        )
        for name, settings in (
            ("stablelm", {"use_qkv_bias": True}),
            ("stablelm_parallel", {"use_parallel_residual": True}),
        )
    ),
    llama_like("granite", "Granite", residual_multiplier=0.5, attention_multiplier=0.4),
    llama_like("olmo", "Olmo"),
    llama_like("olmo2", "Olmo2"),
    llama_like(
        "olmo3", "Olmo3", layer_types=["full_attention", "sliding_attention", "full_attention"], **SLIDING
    ),
    llama_like(
        "exaone4", "Exaone4", layer_types=["full_attention", "sliding_attention", "full_attention"], **SLIDING
    ),
    llama_like("hunyuan_v1_dense", "HunYuanDenseV1", attention_bias=True),
    llama_like("arcee", "Arcee", mlp_bias=True),
    llama_like("smollm3", "SmolLM3", no_rope_layers=[1, 0, 1]),
    llama_like("cohere", "Cohere"),
    llama_like("cohere", "Cohere", "cohere_biased", attention_bias=True, logit_scale=0.5),
    llama_like("cohere2", "Cohere2", layer_types=["sliding_attention"] * 2 + ["full_attention"], **SLIDING),
    llama_like("nemotron", "Nemotron", head_dim=12),
    llama_like("nemotron", "Nemotron", "nemotron_biased", attention_bias=True, mlp_bias=True),
    llama_like("mixtral", "Mixtral", num_local_experts=4, intermediate_size=16, **SLIDING),
    llama_like("olmoe", "Olmoe", num_experts=4, num_experts_per_tok=2),
    llama_like(
        "qwen3_moe", "Qwen3Moe", moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2,
        norm_topk_prob=True,
    ),
    Specimen(
        name="gptj",
        family="gptj",
        model="GPTJForCausalLM",
        config="GPTJConfig",
        settings={
            "n_layer": 3, "n_embd": 32, "n_head": 4, "n_inner": 12, "n_positions": 64, "rotary_dim": 4,
            "vocab_size": VOCABULARY, **SPECIAL,
        },
    ),
)  # fmt: skip
