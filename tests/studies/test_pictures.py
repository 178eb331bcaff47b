"""Photographs and CIFAR images reach their networks as they are displayed, and are recognised."""

import pytest
import torch

from studies.common import pictures

pytestmark = [pytest.mark.realdata, pytest.mark.usefixtures("data_dir")]


def test_photographs_are_recognised():
    found = pictures.photographs()
    assert found.names == ["both", "chelsea", "coffee", "parrot"]
    height, width = found.preprocess.size
    assert found.displayed.shape == (4, height, width, 3)
    assert found.inputs.shape == (4, 3, height, width)
    assert len(found.labels) == 1000
    with torch.no_grad():
        predicted = found.network(found.inputs).argmax(1).tolist()
    # the last two show one thing each, of which SqueezeNet knows the class
    assert [found.labels[index] for index in predicted][2:] == [found.labels[967], found.labels[88]]


def test_more_views_begin_with_the_whole_picture_and_are_the_same_in_every_run():
    whole, views, again = pictures.photographs(), pictures.photographs(3), pictures.photographs(3)
    assert (views.displayed[::3] == whole.displayed).all()
    assert (views.displayed == again.displayed).all()
    assert (views.displayed[1] != views.displayed[0]).any()
    assert views.names[:4] == ["both", "both", "both", "chelsea"]


def test_cifar_images_are_in_the_order_of_the_classes_and_recognised():
    found = pictures.cifar(3)
    assert found.names == [label for label in found.labels for _ in range(3)]
    assert found.inputs.shape == (30, 3, 32, 32)
    with torch.no_grad():
        predicted = found.network(found.inputs).argmax(1)
    right = [found.labels[index] == name for index, name in zip(predicted, found.names, strict=True)]
    assert sum(right) >= 24  # chance is 3; ResNet-20 has an accuracy of about 0.92
