"""Hugging Face's names of a layer's tensors and GGUF's, in the sets that families combine.

A role is a tensor's name without the layer's number and ".weight" or ".bias". "*" stands for the
number of an expert. "ffn_gate_up_exps" stands for two stacks of a file, ffn_gate_exps and
ffn_up_exps, whose rows a folder joins for each expert.
"""

from zeropoint.checkpoints.families.record import StoredChange

ATTENTION = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
}
FUSED_ATTENTION = {"self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output"}
MLP = {
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
FUSED_MLP = {"mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
EXPERTS = {
    "mlp.gate": "ffn_gate_inp",
    "mlp.experts.*.gate_proj": "ffn_gate_exps",
    "mlp.experts.*.up_proj": "ffn_up_exps",
    "mlp.experts.*.down_proj": "ffn_down_exps",
}
SHARED_EXPERTS = {
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
# Files of newer families call the norm before the feed-forward part post_attention_norm.
RENAMED_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
}
NORMS_AROUND = {  # one norm before and one after attention and feed-forward part
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
NORMS_AFTER = {
    "post_attention_layernorm": "post_attention_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
QK_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}

DRAFT = {  # of the layer for multi-token prediction, by its place among the layers
    "eh_proj": "nextn.eh_proj",
    "enorm": "nextn.enorm",
    "hnorm": "nextn.hnorm",
    "shared_head.norm": "nextn.shared_head_norm",
}

LLAMA = NORMS | ATTENTION | MLP

QKV = ("attn_q", "attn_k", "attn_v")
#: A convolution of each channel: (channels, 1, kernel) in folders, (channels, kernel) in files.
UNIT_CONVOLUTION = {"shortconv.conv": StoredChange(unit_axis=1)}

ATTENTION_BIASES = tuple(ATTENTION.values())
MLP_BIASES = tuple(MLP.values())
