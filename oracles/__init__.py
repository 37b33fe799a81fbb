"""Band-gap and formation-energy oracles, each an entry point of the group `aldesign.oracles`."""
