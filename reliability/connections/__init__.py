"""The live page's server under the load of 200 connections from this machine, most of which mean no good."""

TOKEN = "a-token-that-must-not-be-told"
SIZE, FPS = 256, 20
