"""Names of people and places, days and times. All are common words; none is a real person."""

from starter_recipe.dice import listed

WOMEN = listed(
    "Ada Aisha Alma Amina Anika Anna Beata Bianca Carla Celia Chloe Clara Dalia Dana Daria "
    "Diana Edith Elena Elif Ella Emma Erin Esther Eva Farah Fatima Fiona Flora Freya Gina "
    "Grace Greta Hana Hannah Heidi Helen Ida Ines Irene Iris Isla Jana Jasmin Joan Judith "
    "Julia Karin Katya Kira Lara Laura Leila Lena Linda Livia Lucia Mara Maria Marta Maya Mei "
    "Mila Mina Mira Nadia Naomi Nina Nora Olga Olivia Paula Petra Priya Rana Rebecca Rita Rosa "
    "Ruth Sana Sara Selma Simone Sofia Stella Tamara Tanja Tessa Thea Uma Vera Viola Wanda "
    "Yasmin Yuki Zara Zoe"
)
MEN = listed(
    "Aaron Adam Alan Ali Amir Andre Anton Arjun Arthur Bela Ben Boris Bruno Carl Cem Colin "
    "Conrad Daniel David Dennis Diego Dimitri Edgar Elias Emil Eric Farid Felix Finn Frank "
    "Franz Fred Gabriel Georg Gil Gustav Hans Harry Hassan Henry Hugo Ian Igor Ivan Jack Jakob "
    "Jan Jonas Jorge Josef Karim Karl Kenji Kevin Klaus Lars Leo Leon Liam Louis Luca Lukas "
    "Malik Marco Martin Matteo Max Milan Mohan Nico Niels Noah Oliver Omar Oscar Otto Pablo "
    "Patrick Paul Pavel Peter Philip Rafael Rahul Ralf Robin Roman Samir Sean Simon Stefan "
    "Sven Tariq Theo Tim Tomas Udo Victor Walter Yusuf"
)
SURNAMES = listed(
    "Abbott Adler Ahmed Albers Alvarez Andrews Arnold Bailey Banks Barker Bauer Becker Bell "
    "Bennett Berg Bianchi Bishop Blake Bond Bosch Bowen Boyd Brandt Brennan Brooks Bruno Burke "
    "Burns Byrne Cairns Calder Cameron Campos Carter Castro Chandra Chen Clark Cohen Cole "
    "Conti Cooper Costa Craig Cross Cruz Dalton Das Davies Dawson Dean Desai Diaz Dietrich "
    "Dixon Dorsey Doyle Drake Duarte Duffy Duncan Dutta Eaton Ebert Egan Ellis Engel Evans "
    "Faber Falk Farrell Ferrari Fischer Fleming Flores Ford Foster Fox Franke Fraser Friedman "
    "Fuchs Gallo Garcia Gibson Gomez Gordon Graham Grant Greco Griffin Gupta Haas Hahn Hale "
    "Hansen Hardy Harper Hartmann Hayes Heller Henkel Herrera Hill Hoffman Holmes Horn Huang "
    "Hughes Hunt Ibrahim Ito Jansen Jensen Johnson Jordan Joshi Kaiser Kane Kapoor Keller "
    "Kelly Kerr Khan Kim Klein Koch Kovac Kraus Kumar Lambert Lang Larsen Lawson Lehmann Lima "
    "Lindner Lopez Lowe Ludwig Maier Malone Marino Marsh Mason Mehta Mendes Meyer Miller Mills "
    "Morales Moreno Morgan Moss Murphy Nagel Nair Nash Navarro Newman Nolan Novak Obi Okafor "
    "Olsen Ortega Owens Park Parker Patel Pearce Perez Peters Pfeiffer Pohl Porter Powell "
    "Prior Quinn Ramos Rao Reed Reyes Rhodes Ricci Richter Rivera Rossi Roth Russo Ryan "
    "Sanchez Sanders Sato Sauer Schmidt Schulz Seidel Shah Sharma Shaw Silva Singh Sommer "
    "Stein Stone Suarez Suzuki Tanaka Taylor Thomas Torres Turner Vargas Vogel Wagner Walsh "
    "Ward Watson Weber Weiss Wells West Winkler Wolf Wong Wright Yamada Yilmaz Young Zhang "
    "Ziegler Zimmer"
)

TOWNS = listed(
    "Ashford Bramley Brookfield Carlow Claydon Dunmore Easton Fairhaven Felton Glenmore "
    "Harwick Hillsborough Kingsport Lakewood Linden Marlow Melrose Millbrook Newbridge "
    "Northgate Oakham Oldbury Parkside Redhill Riverton Rosedale Seaford Southmere Stanton "
    "Thornbury Wexham Woodside"
)
STREETS = listed(
    "Acorn Almond Beacon Birch Canal Castle Cedar Chapel Cherry Church Clover Corner Dover Elm "
    "Forest Garden Granite Harbour Hazel High Ivy Juniper King Laurel Maple Market Meadow Mill "
    "Orchard Pine Poplar Quarry Queen River School Spring Station Union Valley Willow"
)
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday")
MONTHS = listed(
    "January February March April May June July August September October November December"
)
SPANS = listed(
    "two hours|three hours|one day|two days|three days|four days|five days|a week|ten days|"
    "two weeks|three weeks|a month|six weeks|two months"
)
