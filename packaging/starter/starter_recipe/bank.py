"""What people bring to a bank, by team and by how long it can wait (see ``clinic``)."""

from starter_recipe.matters import Team

FRAUD = Team(
    name="fraud",
    urgent=(
        "a *stolen* debit card",
        "a transfer that nobody *authorised*",
        "a PIN given to a *stranger*",
        "a login from *abroad*",
        "a caller who poses as the *police*",
        "a *hijacked* online account",
        "a *cloned* card",
    ),
    soon=(
        "a *suspicious* e-mail link",
        "a *forged* cheque",
        "an unknown *shop* on the bill",
        "a *fake* charity",
        "a *phishing* text message",
        "a *mule* offer from a friend",
        "a tampered cash *dispenser*",
    ),
    routine=(
        "advice on safe *passwords*",
        "a leaflet on *scams*",
        "a new *security* question",
        "a talk on *romance* tricks",
        "a test of *alert* messages",
        "*shredding* of old papers",
    ),
    steps=(
        "block the card", "freeze the account", "read the access log", "call the shop",
        "file a report", "issue a new card", "reset the login", "save the message as proof",
    ),
)
LOANS = Team(
    name="loans",
    urgent=(
        "a house sale that *completes* today",
        "a *foreclosure* notice",
        "a loan offer that *expires* tonight",
        "a *bailiff* at the door",
        "a double *instalment* that empties the account",
        "an *eviction* date tomorrow",
        "a *repossession* order",
    ),
    soon=(
        "a missed *mortgage* rate",
        "a request to *pause* repayments",
        "a wrong *interest* figure",
        "a *guarantor* who withdraws",
        "a job loss and a *car* loan",
        "a *refinancing* offer from a rival",
        "*arrears* of two months",
    ),
    routine=(
        "a *student* loan leaflet",
        "a copy of the loan *contract*",
        "a *forecast* of the last rate",
        "a question on *solar* credit",
        "an *early* payoff figure",
        "a *collateral* form",
    ),
    steps=(
        "check the contract", "work out the new rate", "ask for a pay slip", "send the offer again",
        "note the due date", "speak with the lender", "print the schedule", "value the house",
    ),
)
PAYMENTS = Team(
    name="payments",
    urgent=(
        "a *salary* run that failed",
        "a *million* sent to the wrong firm",
        "a *terminal* that takes no cards",
        "a *rent* transfer stuck since noon",
        "a *customs* payment due in an hour",
        "a *payout* sent twice",
        "a *tender* deposit due at noon",
    ),
    soon=(
        "a *direct* debit taken twice",
        "a *refund* that never came",
        "a *standing* order on the wrong day",
        "a *returned* transfer",
        "a wrong *IBAN* on a form",
        "a *chargeback* letter",
        "a *remittance* lost on the way",
    ),
    routine=(
        "a *receipt* for last year",
        "a new *payee* list",
        "a *fee* table",
        "a question on *currency* rates",
        "a *barcode* for bills",
        "an *invoice* template",
    ),
    steps=(
        "trace the transfer", "recall the money", "compare both bookings", "write to the other bank",
        "correct the number", "credit the sum", "stop the next debit", "print a proof",
    ),
)
SAVINGS = Team(
    name="savings",
    urgent=(
        "a *bond* that must be sold today",
        "a *locked* savings vault key",
        "a *deposit* that vanished",
        "a *margin* call",
        "a *passbook* emptied overnight",
        "a *liquidation* deadline tonight",
        "a *bullion* box left open",
    ),
    soon=(
        "a *matured* term account",
        "an *inheritance* to pay in",
        "a wrong *tax* certificate",
        "a *dividend* that is missing",
        "a *child* account without a guardian",
        "a *dormant* account",
        "a *beneficiary* to change",
    ),
    routine=(
        "a savings *plan* for a baby",
        "a question on *fund* costs",
        "a *piggy* bank for a school",
        "a *pension* brochure",
        "a *goal* reminder",
        "a *coin* counting day",
    ),
    steps=(
        "look up the balance", "explain the term", "book the interest", "check the certificate",
        "move the money", "compare two plans", "prepare the form", "count the units",
    ),
)
TEAMS = (FRAUD, LOANS, PAYMENTS, SAVINGS)
