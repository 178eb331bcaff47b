"""The live page's server under the load of 200 connections from this machine, most of which mean no good."""
