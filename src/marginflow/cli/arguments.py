"""The arguments and options that several verbs take, with their help and what shells complete."""

from typing import Annotated

import typer

from marginflow.cli import completion


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DATA_HELP = (
    "A file.npz (X, z and either scores, or y and v, or values and labels, or labels_token; or sequences and "
    "embedding; optional mask, output, head), a folder of such arrays as .npy (svm leaves its X.npy on disk), a saved "
    "run or solution, or a named problem: digits, sentences, "
    "next-token, sphere:n=6,T=8,d=10,seed=0, gaussian, equal, heads, classes, single, angle:c=0.5, spiked:n=8,c=0.25, "
    "sign-orbit, hadamard, orthogonal:n=2, rank-infeasible, trap:finite, trap:infinity, nearly-infeasible."
)
LOSS_HELP = (
    "exponential, logistic, log, linear; of values cross-entropy, cross-entropy:smoothing=0.1, squared. "
    "Selections become the faces of that loss."
)
DataArgument = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP, autocompletion=completion.data)]
OptionalData = Annotated[str | None, typer.Argument(metavar="DATA", help=DATA_HELP, autocompletion=completion.data)]
ParameterizationOption = Annotated[
    str,
    typer.Option(
        "--parameterization",
        "-p",
        help="kq, w, diag-kq or diag.",
        autocompletion=completion.parameterizations,
    ),
]
WidthOption = Annotated[int | None, typer.Option(help="Columns of K and Q (kq only); default min(d, d_z).")]
LossOption = Annotated[str | None, typer.Option(help=LOSS_HELP, autocompletion=completion.losses)]
TrainingLoss = Annotated[
    str | None,
    typer.Option(
        help="Of scores: exponential (where none is named), logistic, log, linear; of values: cross-entropy, "
        "cross-entropy:smoothing=0.1, squared.",
        autocompletion=completion.losses,
    ),
]
