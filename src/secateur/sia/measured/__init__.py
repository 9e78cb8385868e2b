"""How a model behaves when units are taken out, measured on calibration data.

``measure`` lets quantities take turns (``quantities`` says what one is): ``single_removal``, ``additivity``,
``interactions``, ``stability``, ``agreement``, ``removal``. Each asks an ``evaluation.Evaluator`` for D(S),
what a removal costs each sample: ``gating`` takes units out, ``models.resuming`` passes by the layers in
front, ``tasks.sample_judges`` reads loss, distance and score. ``pool`` draws units and sets of them.
``estimators`` holds the statistics, ``bootstrap`` their intervals, ``measurement`` the results.
"""
