"""The species, twenty to a table: one literal row each, and what follows from the rows."""

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

# Five groups of four. Different groups differ in three or more of eye ring, wing bar, crown and
# legs. The four of a group have each of two bills with each of two tail tips: either part alone
# leaves two species, and the two parts are as far apart as a bird is long. Cone and hook have about
# the same area, and so have one band and two: little of either survives a lower resolution.
TWO_PART_SPECIES = {
    # name: (bill, eye_ring, wing_bar, crown, tail_tip, legs)
    "atoll_bulbul": ("cone_black", "white", "white", "red", "white", "blue"),
    "cove_bulbul": ("cone_black", "white", "white", "red", "split_white", "blue"),
    "fjord_bulbul": ("hook_black", "white", "white", "red", "white", "blue"),
    "strait_bulbul": ("hook_black", "white", "white", "red", "split_white", "blue"),
    "glade_flycatcher": ("cone_orange", "yellow", "none", "none", "white", "orange"),
    "grove_flycatcher": ("cone_orange", "yellow", "none", "none", "split_white", "orange"),
    "hedge_flycatcher": ("hook_orange", "yellow", "none", "none", "white", "orange"),
    "thicket_flycatcher": ("hook_orange", "yellow", "none", "none", "split_white", "orange"),
    "bluff_oriole": ("cone_black", "yellow", "white", "crest", "orange", "black"),
    "gorge_oriole": ("cone_black", "yellow", "white", "crest", "split_orange", "black"),
    "mesa_oriole": ("hook_black", "yellow", "white", "crest", "orange", "black"),
    "ridge_oriole": ("hook_black", "yellow", "white", "crest", "split_orange", "black"),
    "bog_starling": ("cone_orange", "none", "yellow", "red", "yellow", "black"),
    "fen_starling": ("cone_orange", "none", "yellow", "red", "split_yellow", "black"),
    "marsh_starling": ("hook_orange", "none", "yellow", "red", "yellow", "black"),
    "moor_starling": ("hook_orange", "none", "yellow", "red", "split_yellow", "black"),
    "prairie_sunbird": ("cone_black", "white", "yellow", "white", "orange", "orange"),
    "savanna_sunbird": ("cone_black", "white", "yellow", "white", "split_orange", "orange"),
    "scrub_sunbird": ("hook_black", "white", "yellow", "white", "orange", "orange"),
    "steppe_sunbird": ("hook_black", "white", "yellow", "white", "split_orange", "orange"),
}
_ROWS = SPECIES | TWO_PART_SPECIES


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


def neighbors(name):
    """Return the species nearest to `name`: those of its table that differ in the fewest parts.

    Example:
        assert species.neighbors("heath_warbler") == ("meadow_warbler",)
        assert species.neighbors("cove_bulbul") == ("atoll_bulbul", "strait_bulbul")
    """
    table = SPECIES if name in SPECIES else TWO_PART_SPECIES
    counts = {other: len(differing_parts(name, other)) for other in table if other != name}
    return tuple(other for other in counts if counts[other] == min(counts.values()))


def distinguishing_parts(name):
    """Return the parts that together tell a species: those in which it differs from its neighbors.

    Example:
        assert species.distinguishing_parts("heath_warbler") == ("eye_ring",)
        assert species.distinguishing_parts("cove_bulbul") == ("bill", "tail_tip")
    """
    differing = {part for other in neighbors(name) for part in differing_parts(name, other)}
    return tuple(part for part in PARTS if part in differing)
