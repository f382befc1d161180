"""The figures of the RFCs, each one a test that reads like it.

In the figures both sides have a script. Here one side is ours: the other is played by a
ScriptedPeer, once the client and once the server. What the script chooses is what stands in
the figure; what our side chooses, its message IDs and tokens, has a name.
"""
