"""``python -m secateur``, as ``accelerate launch -m secateur`` and ``torchrun -m secateur`` run it."""

from secateur.cli.app import main

if __name__ == "__main__":
    main()
