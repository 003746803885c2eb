"""Llama 3.2 Vision: a Llama with layers between that attend to images instead of text."""

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, Layer
from hbmopt.llm.importing.families.common import Builder, decoder, sizes
from hbmopt.llm.importing.families.mixture_table import NO_BIAS
from hbmopt.llm.importing.families.traits import mixer
from hbmopt.llm.importing.keys import Keys

IMAGE_ROWS = 8
"""Rows of the embedding that the output head does not have."""


def mllama(keys: Keys, outer: Keys) -> Blueprint:
    """Return layers of both kinds; what those that attend to images keep is not of the text."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    across = keys.numbered("cross_attention_layers", size.layers)
    if across is None:
        raise keys.missing("cross_attention_layers")
    attention = mixer(keys, NO_BIAS, size.hidden, None)
    text = Layer((attention,), DenseBlock(size.hidden, width), None, 2 * size.hidden)
    # The same projections, norms of queries and keys, and a gate of attention and one of the rest.
    image = Layer(
        (),
        DenseBlock(
            size.hidden,
            width,
            small=2 * attention.head_dimension + 2,
            beside=attention.weights,
        ),
        None,
        2 * size.hidden,
    )
    return decoder(
        keys,
        outer,
        size,
        [image if layer in across else text for layer in range(size.layers)],
        embedding_extra=IMAGE_ROWS * size.hidden,
        notes=(
            f"{len(across)} layers attend to images: their weights are counted, with the "
            "dense blocks; the keys and values of images are not.",
        ),
    )


FAMILIES: dict[str, Builder] = {"mllama": mllama, "mllama_text_model": mllama}
