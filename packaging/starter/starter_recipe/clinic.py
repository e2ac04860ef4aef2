"""What people bring to a clinic, by team and by how long it can wait.

Each matter is a noun phrase with its key word between asterisks. No key word occurs in another
matter of the same or another module.
"""

from starter_recipe.matters import Team

CARDIOLOGY = Team(
    name="cardiology",
    urgent=(
        "crushing *chest* pain",
        "sudden *fainting*",
        "a *racing* pulse at rest",
        "pain that runs down the left *arm*",
        "blue *lips* after stairs",
        "a *collapse* on the stairs",
        "violent *palpitations*",
    ),
    soon=(
        "*swollen* ankles",
        "a new heart *murmur*",
        "short *breath* on hills",
        "an *irregular* beat",
        "a *pacemaker* that clicks",
        "*dizzy* spells on standing",
        "new *hypertension*",
    ),
    routine=(
        "a yearly *heart* check",
        "a repeat of *statin* tablets",
        "a question on *salt* and diet",
        "a copy of an old *tracing*",
        "a plan for *walking* exercise",
        "a *cholesterol* reading",
    ),
    steps=(
        "take a heart trace",
        "listen to the heart",
        "measure the pulse twice",
        "order a blood test",
        "fit a small monitor",
        "compare old results",
        "ask about family history",
        "review the tablets",
    ),
)
DERMATOLOGY = Team(
    name="dermatology",
    urgent=(
        "a *blistering* rash with fever",
        "a *scald* on both hands",
        "a wound that turns *black*",
        "skin that *peels* in sheets",
        "a face swollen from a *sting*",
        "an *acid* splash on the wrist",
        "hot spreading *cellulitis*",
    ),
    soon=(
        "a *mole* that changes colour",
        "*weeping* eczema",
        "a *boil* under the chin",
        "painful *shingles*",
        "a cut with *pus*",
        "a fast growing *lump*",
        "*ringworm* in two children",
    ),
    routine=(
        "mild *acne*",
        "dry *elbows*",
        "a small *wart*",
        "a question on *sunscreen*",
        "flaking *scalp*",
        "harmless *freckles*",
    ),
    steps=(
        "look at the skin under a lens",
        "take a small sample",
        "clean and dress the area",
        "prescribe a cream",
        "photograph the spot",
        "test for allergy",
        "mark the edge with a pen",
        "ask about soap and pets",
    ),
)
ORTHOPAEDICS = Team(
    name="orthopaedics",
    urgent=(
        "an *open* break of the shin",
        "a *hip* fracture after a fall",
        "a *dislocated* shoulder",
        "a crushed *finger*",
        "numb *legs* after a fall",
        "a *spine* injury from a ladder",
        "a *severed* tendon",
    ),
    soon=(
        "a *twisted* ankle",
        "a *locked* knee",
        "a loose *plaster* cast",
        "a *slipped* disc",
        "a torn *ligament*",
        "a swollen *knuckle*",
        "acute *sciatica*",
    ),
    routine=(
        "stiff *neck* muscles",
        "new *insoles*",
        "a check of an old *bunion*",
        "sore *heels* in the morning",
        "a letter for *physiotherapy*",
        "*posture* advice",
    ),
    steps=(
        "take an X-ray",
        "test how far the joint moves",
        "put on a splint",
        "renew the bandage",
        "show two stretches",
        "measure both sides",
        "book the gym room",
        "check feeling in the toes",
    ),
)
OPHTHALMOLOGY = Team(
    name="ophthalmology",
    urgent=(
        "sudden loss of *sight*",
        "a metal *splinter* in the eye",
        "*bleach* in both eyes",
        "a *curtain* across the view",
        "a bleeding *eyeball*",
        "*flashes* with a dark shadow",
        "sharp *glaucoma* pain",
    ),
    soon=(
        "*blurred* vision",
        "a sticky red *eyelid*",
        "*double* images",
        "a *scratch* on the lens",
        "a swollen *tear* duct",
        "*conjunctivitis* in one eye",
        "a growing *cataract*",
    ),
    routine=(
        "new reading *glasses*",
        "a *colour* sense test",
        "dry eyes from *screens*",
        "a *driving* licence eye test",
        "a repeat of *drops*",
        "a *squint* seen since birth",
    ),
    steps=(
        "read the letter chart",
        "measure eye pressure",
        "rinse the eye",
        "look at the retina",
        "widen the pupil",
        "check each eye alone",
        "fit an eye shield",
        "note the old lens strength",
    ),
)
TEAMS = (CARDIOLOGY, DERMATOLOGY, ORTHOPAEDICS, OPHTHALMOLOGY)
