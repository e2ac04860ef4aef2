"""What people bring to an office's service desk, by team and urgency (see ``clinic``)."""

from starter_recipe.matters import Team

FACILITIES = Team(
    name="facilities",
    urgent=(
        "a *burst* pipe",
        "a *gas* smell on the stairs",
        "people *trapped* in the lift",
        "*smoke* in the archive",
        "a *ceiling* panel that fell",
        "a *flooded* cellar",
        "*sparks* from a socket",
    ),
    soon=(
        "a *broken* window",
        "a cold *radiator*",
        "a blocked *toilet*",
        "a *flickering* lamp",
        "a *jammed* gate",
        "*mould* on a wall",
        "a dripping *tap*",
    ),
    routine=(
        "a new *desk* plant",
        "a *chair* that squeaks",
        "a *bicycle* rack request",
        "a *name* sign for a room",
        "a *whiteboard* to hang",
        "a *coat* hook",
    ),
    steps=(
        "shut the main valve", "clear the floor", "call a plumber", "put up a barrier",
        "order a spare part", "measure the frame", "change the bulb", "air the room",
    ),
)
IT_SUPPORT = Team(
    name="it support",
    urgent=(
        "a *server* that is down",
        "a *virus* on the reception computer",
        "a *ransom* message on screen",
        "lost *backups*",
        "a mail system that rejects *everything*",
        "a *wiped* customer database",
        "a *network* outage",
    ),
    soon=(
        "a slow *laptop*",
        "a *printer* that prints blanks",
        "a frozen *calendar*",
        "a *headset* without sound",
        "a full *mailbox*",
        "a *cracked* tablet",
        "a *scanner* that stripes",
    ),
    routine=(
        "a larger *monitor*",
        "a *mouse* request",
        "a *font* for slides",
        "a *software* lesson",
        "a *shortcut* on the start page",
        "a *keyboard* with quiet keys",
    ),
    steps=(
        "restart the machine", "pull the cable", "restore the files", "scan the disk",
        "renew the licence", "lend a spare device", "update the driver", "read the error code",
    ),
)
PAYROLL = Team(
    name="payroll",
    urgent=(
        "*wages* that did not arrive",
        "a payslip sent to the *whole* staff",
        "a *garnishment* order due today",
        "a pay run with *zero* amounts",
        "an unpaid *night* crew",
        "a *strike* over missing pay",
        "a *negative* payslip",
    ),
    soon=(
        "wrong *overtime* hours",
        "a missing *bonus*",
        "a *maternity* pay form",
        "a wrong *bank* number for pay",
        "a *sick* note not counted",
        "a *commission* dispute",
        "an *allowance* cut by mistake",
    ),
    routine=(
        "a copy of a *payslip* from spring",
        "a question on *holiday* money",
        "a change of *address* for letters",
        "a *gym* subsidy",
        "a *badge* photo for the pay file",
        "a *jubilee* gift",
    ),
    steps=(
        "check the hours", "correct the entry", "run the pay again", "print a new slip",
        "ask the manager", "compare with last month", "send the form", "note the leave days",
    ),
)
TRAVEL = Team(
    name="travel",
    urgent=(
        "a *cancelled* flight tonight",
        "a lost *passport* at the airport",
        "a *stranded* driver",
        "a hotel that is *closed* on arrival",
        "a *train* that leaves in an hour without tickets",
        "an *evacuation* abroad",
        "a *typhoon* on the route",
    ),
    soon=(
        "a *visa* for next week",
        "a wrong *ticket* date",
        "a *rental* van without insurance",
        "a *conference* room abroad",
        "a *delayed* suitcase",
        "a *ferry* booking clash",
        "a *vaccination* record for a trip",
    ),
    routine=(
        "a *mileage* form",
        "a *loyalty* card",
        "a *map* of hotels",
        "a *taxi* bill from last month",
        "a *brochure* on rail passes",
        "an *aisle* seat wish",
    ),
    steps=(
        "book another seat", "call the hotel", "send the papers", "ask the embassy",
        "change the date", "claim the cost", "find a later train", "share the new route",
    ),
)
TEAMS = (FACILITIES, IT_SUPPORT, PAYROLL, TRAVEL)
