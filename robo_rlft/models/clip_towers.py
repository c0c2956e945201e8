"""open_clip models and the dense image features that they hold.

Knows nothing of phrases or of the table's metres. Dense features follow MaskCLIP (Zhou et al. 2022, "Extract Free Dense
Labels from CLIP"): the last attention is replaced by its value path, so that every cell is projected by itself into the
space of texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from robo_rlft.models.clip_tokens import TokenTable

TABLETOP = "tabletop"
TABLETOP_CONTEXT = 77  # tokens, marks included
_WIDTH, _EMBED = 16, 64


class MeanPool(nn.Module):
    """Stands in for the attention pool of a small ResNet: the mean of the cells' projected values."""

    def __init__(self, *, width: int, output_dim: int) -> None:
        super().__init__()
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, output_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, output_dim) for features (B, width, h, w)."""
        pooled: Tensor = self.c_proj(self.v_proj(x.mean(dim=(2, 3))))
        return pooled


def build_tabletop(tokens: tuple[int, ...]) -> CLIP:
    """Return the small model of this project, untrained: a ModifiedResNet at stride 4 and two layers for texts.

    Args:
        tokens: ids of the tokenizer that get a row of their own.
    """
    vision = CLIPVisionCfg(layers=(1, 1, 1, 1), width=_WIDTH, head_width=64, image_size=32)
    text = CLIPTextCfg(context_length=TABLETOP_CONTEXT, vocab_size=1, width=_EMBED, heads=4, layers=2)
    model = CLIP(embed_dim=_EMBED, vision_cfg=vision, text_cfg=text)
    visual = model.visual
    visual.avgpool = nn.Identity()  # stem: stride 2 instead of 4
    for layer in (visual.layer3, visual.layer4):  # stride 1 instead of 2
        layer[0].avgpool = nn.Identity()
        layer[0].downsample[0] = nn.Identity()
    visual.attnpool = MeanPool(width=_WIDTH * 32, output_dim=_EMBED)
    model.token_embedding = TokenTable(tokens=tokens, width=_EMBED)
    model.vocab_size = len(model.token_embedding.token)
    return model


def build_open_clip(architecture: str, weights: Path | None) -> CLIP:
    """Return one of open_clip's models, with weights from a file or untrained.

    Raises:
        ValueError: The architecture is not known, or its towers have no dense features here.
    """
    if architecture not in open_clip.list_models():
        raise ValueError(
            f"expected the architecture 'tabletop' or one of open_clip's, such as 'RN50-quickgelu' or 'ViT-B-16'; "
            f"got {architecture!r}. open_clip.list_models() names them all."
        )
    model = open_clip.create_model(architecture, pretrained=None if weights is None else str(weights))
    check_towers(model, architecture)
    return model


def check_towers(model: nn.Module, architecture: str) -> None:
    """Refuse a model whose image tower has no dense features here.

    Raises:
        ValueError: Saying which towers have.
    """
    visual = getattr(model, "visual", None)
    plain_vit = (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and all(isinstance(block, ResidualAttentionBlock) for block in visual.transformer.resblocks)
    )
    if not isinstance(model, CLIP) or not (isinstance(visual, ModifiedResNet) or plain_vit):
        raise ValueError(
            f"expected a CLIP with a ModifiedResNet or a plain vision transformer; {architecture!r} has "
            f"{type(visual).__name__} in {type(model).__name__}. 'RN50-quickgelu' and 'ViT-B-16' will do."
        )


def tower_stride(visual: nn.Module) -> int:
    """Return how many input pixels lie between two cells of the dense features."""
    if isinstance(visual, VisionTransformer):
        return int(visual.patch_size[0])
    with torch.no_grad():
        was_training = visual.training
        visual.eval()
        cells = _resnet_trunk(visual, torch.zeros(1, 3, 64, 64)).shape[-1]
        visual.train(was_training)
    return 64 // int(cells)


def dense_features(visual: nn.Module, image: Tensor) -> Tensor:
    """Return features (B, D, h, w) in the space of texts, not normalised.

    Args:
        visual: a `ModifiedResNet` or `VisionTransformer`.
        image: normalised colours (B, 3, H, W), H and W multiples of the tower's stride.
    """
    return _vit_dense(visual, image) if isinstance(visual, VisionTransformer) else _resnet_dense(visual, image)


def _resnet_trunk(visual: Any, image: Tensor) -> Tensor:
    x = visual.stem(image)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    features: Tensor = x
    return features


def _resnet_dense(visual: Any, image: Tensor) -> Tensor:
    x = _resnet_trunk(visual, image)
    value, output = visual.attnpool.v_proj, visual.attnpool.c_proj
    # Two linear maps in a row are one: a 1 x 1 convolution.
    weight = output.weight @ value.weight
    bias = F.linear(value.bias, output.weight, output.bias)
    return F.conv2d(x, weight[:, :, None, None], bias)


def _vit_dense(visual: Any, image: Tensor) -> Tensor:
    x = visual.conv1(image)
    grid = (int(x.shape[-2]), int(x.shape[-1]))
    x = x.flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + _grid_positions(visual, grid).to(x.dtype)
    x = visual.ln_pre(x)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    x = _value_path(last, x[:, 1:])
    x = visual.ln_post(x) @ visual.proj
    features: Tensor = x.transpose(1, 2).reshape(len(x), -1, *grid)
    return features


def _grid_positions(visual: Any, grid: tuple[int, int]) -> Tensor:
    """Return the positional embeddings (1 + h w, C), interpolated to the grid (h, w)."""
    table: Tensor = visual.positional_embedding
    if grid == tuple(visual.grid_size):
        return table
    cells = table[1:].T.reshape(1, -1, *visual.grid_size)
    cells = F.interpolate(cells.float(), size=grid, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([table[:1], cells[0].flatten(1).T.to(table.dtype)])


def _value_path(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """Return the block's output where every token attends to itself alone."""
    attention = block.attn
    width = attention.embed_dim
    value = F.linear(block.ln_1(x), attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    x = x + block.ls_1(attention.out_proj(value))
    result: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result


def text_features(model: CLIP, ids: Tensor) -> Tensor:
    """Return what `model.encode_text` does, without the padding behind the longest text; unit vectors (N, D).

    Attention is causal and the end mark is what is read, so padding changes nothing but the time: of 77 tokens a
    caption needs 5.

    Args:
        model: an open_clip CLIP.
        ids: int64 (N, context length); the end mark has the largest id.
    """
    causal = model.attn_mask is not None and model.text_pool_type == "argmax"
    if not causal or not isinstance(model.text_projection, nn.Parameter):
        features: Tensor = model.encode_text(ids, normalize=True)
        return features
    end = ids.argmax(dim=1)
    length = int(end.max()) + 1
    tokens = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
    tokens = model.ln_final(model.transformer(tokens, attn_mask=model.attn_mask[:length, :length]))
    read = tokens[torch.arange(len(ids), device=ids.device), end]
    return F.normalize(read @ model.text_projection, dim=-1)
