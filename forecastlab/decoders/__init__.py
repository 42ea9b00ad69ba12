"""Decoders: from encoded history to the horizon."""

from forecastlab.decoders.attention_pooling import AttentionPooling
from forecastlab.decoders.base import Decoder
from forecastlab.decoders.deepar import DeepAR
from forecastlab.decoders.linear import Linear
from forecastlab.decoders.segments import Segments
from forecastlab.decoders.seq2seq import Seq2Seq
from forecastlab.decoders.temporal_fusion_decoder import TemporalFusionDecoder

__all__ = ["AttentionPooling", "Decoder", "DeepAR", "Linear", "Segments", "Seq2Seq", "TemporalFusionDecoder"]
