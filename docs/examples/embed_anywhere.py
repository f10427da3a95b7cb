"""Turn samples exported by geofm-eval into tables of embeddings, one per layer. Needs torch, transformers, numpy.

python embed_anywhere.py EXPORT MODEL OUT      # MODEL: a transformers vision model, by name or folder
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

export, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
bands = json.loads((export / "manifest.json").read_text())["bands"]
rgb = [bands.index(band) for band in ("B04", "B03", "B02")]
rows = list(csv.DictReader((export / "samples.csv").open()))
model = AutoModel.from_pretrained(name).eval()
size = getattr(model.config, "image_size", 224)


def pixels(row: dict) -> torch.Tensor:
    """One image as this model expects it: here RGB, reflectance of 0 to 0.3 as 0 to 1, ImageNet statistics."""
    image = torch.from_numpy(np.nan_to_num(np.load(export / row["file"])[rgb])) / 3000
    image = torch.nn.functional.interpolate(image[None].clamp(0, 1), (size, size), mode="bilinear")[0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean[:, None, None]) / std[:, None, None]


with torch.inference_mode():
    means = []  # per batch (layers, samples, width), without the class token
    for start in range(0, len(rows), 16):
        batch = torch.stack([pixels(row) for row in rows[start : start + 16]])
        states = model(pixel_values=batch, output_hidden_states=True).hidden_states
        means.append(torch.stack([state[:, 1:].mean(1) for state in states]))
out.mkdir(parents=True, exist_ok=True)
for layer, features in enumerate(torch.cat(means, dim=1).numpy()):
    tap = "embed" if layer == 0 else f"block{layer - 1:02d}"
    with (out / f"{tap}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"e{number}" for number in range(features.shape[1]))])
        writer.writerows([row["id"], *vector] for row, vector in zip(rows, features, strict=True))
