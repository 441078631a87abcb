"""The species, a literal row each, and what follows from the rows."""

PARTS = ("bill", "eye_ring", "wing_bar", "crown", "tail_tip", "legs")

# Ten pairs. Different pairs differ in three or more parts, mostly in colors, which survive a lower
# resolution. The two species of a pair differ in the shape of one part, which hardly does.
SPECIES = {
    # name: (bill, eye_ring, wing_bar, crown, tail_tip, legs)
    "coppice_finch": ("cone_black", "white", "none", "red", "none", "black"),
    "orchard_finch": ("hook_black", "white", "none", "red", "none", "black"),
    "harbour_siskin": ("cone_orange", "none", "yellow", "none", "white", "orange"),
    "quarry_siskin": ("dagger_orange", "none", "yellow", "none", "white", "orange"),
    "heath_warbler": ("dagger_black", "yellow", "white", "crest", "none", "orange"),
    "meadow_warbler": ("dagger_black", "split_yellow", "white", "crest", "none", "orange"),
    "island_vireo": ("cone_orange", "white", "none", "white", "orange", "black"),
    "mangrove_vireo": ("cone_orange", "split_white", "none", "white", "orange", "black"),
    "lowland_bunting": ("cone_black", "yellow", "white", "none", "white", "blue"),
    "steppe_bunting": ("cone_black", "yellow", "split_white", "none", "white", "blue"),
    "dune_pipit": ("dagger_orange", "white", "yellow", "red", "orange", "blue"),
    "tundra_pipit": ("dagger_orange", "white", "split_yellow", "red", "orange", "blue"),
    "bamboo_tanager": ("hook_black", "yellow", "yellow", "red", "none", "orange"),
    "cedar_tanager": ("hook_black", "yellow", "yellow", "split_red", "none", "orange"),
    "canyon_wren": ("dagger_orange", "red", "none", "white", "white", "black"),
    "ravine_wren": ("dagger_orange", "red", "none", "split_white", "white", "black"),
    "alder_thrush": ("cone_black", "red", "yellow", "crest", "white", "black"),
    "willow_thrush": ("cone_black", "red", "yellow", "crest", "split_white", "black"),
    "lagoon_shrike": ("hook_black", "none", "white", "white", "orange", "orange"),
    "upland_shrike": ("hook_black", "none", "white", "white", "orange", "split_orange"),
}

# No classes: birds that stand about in `synthetic_birds/decoys`. Each differs from every species in
# two parts or more.
STRANGERS = {
    "atoll_bulbul": ("cone_black", "white", "white", "red", "white", "blue"),
    "glade_flycatcher": ("cone_orange", "yellow", "none", "none", "white", "orange"),
    "mesa_oriole": ("hook_black", "yellow", "white", "crest", "orange", "black"),
    "marsh_starling": ("hook_orange", "none", "yellow", "red", "yellow", "black"),
}
_ROWS = SPECIES | STRANGERS


def parts_of(name):
    """Return the species' `{part: value}`.

    Example:
        assert species.parts_of("lagoon_shrike")["crown"] == "white"
    """
    return dict(zip(PARTS, _ROWS[name], strict=True))


def differing_parts(name, other):
    """Return the names of the parts in which two species differ.

    Example:
        assert species.differing_parts("heath_warbler", "meadow_warbler") == ("eye_ring",)
    """
    pairs = zip(PARTS, _ROWS[name], _ROWS[other], strict=True)
    return tuple(part for part, value, other_value in pairs if value != other_value)


def distinguishing_part(name):
    """Return the part in which a species differs from its neighbor, the nearest of the others.

    Example:
        assert species.distinguishing_part("heath_warbler") == "eye_ring"
    """
    others = (differing_parts(name, other) for other in SPECIES if other != name)
    (part,) = min(others, key=len)
    return part
