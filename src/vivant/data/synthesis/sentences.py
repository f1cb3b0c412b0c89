"""Sentences to say, put together from word lists of our own; every seed gives another text."""

from __future__ import annotations

from vivant.core.errors import ConfigError
from vivant.data.synthesis.curves import Random

# fmt: off
_ENGLISH = (
    ("The old baker", "My younger brother", "A tall woman", "Our neighbour", "Everybody in the village",
     "The new teacher", "Her best friend", "Nobody", "The shy boy", "Professor Brown", "That busy waiter",
     "A group of visitors",
     "The famous singer", "Your cousin Jack", "Someone I know", "The captain", "Both of them", "His mother",
     "A very small dog", "The whole family", "Mister Webb", "The judge", "Our guide", "Five students"),
    ("bought", "forgot about", "showed us", "always loved", "could not find", "will never move", "is waiting for",
     "should have washed", "gave away", "looked at", "opened", "wrote about", "broke", "usually keeps", "wants to see",
     "measured", "chose", "heard about", "poured", "pushed away", "might enjoy", "threw out", "borrowed", "painted"),
    ("a blue bicycle", "the wooden bridge", "fresh bread and butter", "three heavy boxes", "the first train",
     "a strange picture", "warm milk", "this old machine", "a pair of gloves", "some purple flowers",
     "the wrong answer", "my favourite book", "twenty pounds", "those shiny shoes", "a cup of coffee", "every window",
     "the measure of the room", "a beautiful voice", "her yellow umbrella", "the cheese", "half of the money",
     "a quiet place", "a bowl of soup", "enough food for everyone"),
    ("on Monday morning", "before the storm", "with a big smile", "near the harbour", "for the very last time",
     "because of the weather", "in the middle of the night", "without saying a word", "as usual", "above the shop",
     "at the end of February", "just for fun", "when we were away", "this evening", "over there", "a few years ago",
     "while the music played", "in his own way", "for the children", "after lunch", "", "", ""),
    ("", "", "", "I think ", "Yes, ", "Maybe ", "Well, ", "You know, ", "Listen: ", "Oh, ", "Look, ", "Of course, "),
)
_QUESTIONS = (
    "How are you today?", "Would you please move that box?", "Where did you put the keys?", "Why not?", "What a pity!",
    "Thank you very much.", "Good morning, everybody.", "Wow, that is wonderful!", "Please give me five minutes.",
    "Who told you about it?", "I am so sorry.", "Have you ever been to Paris?", "That is impossible.", "See you soon!",
    "Whoever believes that should try it.", "Bob and Pam may stop by.", "Show me the way, would you?", "Never mind.",
    "We were away a year ago.", "Fifty-five big apples fell off the van.", "Choose which shoes you should use.",
)
_OTHERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "de": (("Der alte Bäcker", "Meine Schwester", "Unser Nachbar", "Die junge Frau", "Jeder von uns", "Ein Freund"),
           ("kaufte ein blaues Fahrrad", "trinkt gern warme Milch", "öffnet langsam das Fenster", "wartet auf den Zug",
            "spricht über Musik", "vergaß den Schlüssel", "möchte fünf Äpfel"),
           ("am Montag früh.", "in der Stadt.", "für die Kinder.", "wie immer.", "vor dem Regen.", "ohne ein Wort.")),
    "fr": (("Le vieux boulanger", "Ma petite sœur", "Notre voisin", "La jeune femme", "Tout le monde", "Un bon ami"),
           ("achète un vélo bleu", "boit du lait chaud", "ouvre la grande fenêtre", "attend le premier train",
            "parle de musique", "a perdu ses clés", "voudrait cinq pommes"),
           ("lundi matin.", "dans la ville.", "pour les enfants.", "comme toujours.", "avant la pluie.")),
    "es": (("El viejo panadero", "Mi hermana", "Nuestro vecino", "La mujer joven", "Todo el mundo", "Un buen amigo"),
           ("compró una bicicleta azul", "bebe leche caliente", "abre la ventana", "espera el primer tren",
            "habla de música", "perdió las llaves", "quiere cinco manzanas"),
           ("el lunes por la mañana.", "en la ciudad.", "para los niños.", "como siempre.", "antes de la lluvia.")),
    "it": (("Il vecchio fornaio", "Mia sorella", "Il nostro vicino", "La giovane donna", "Ognuno di noi", "Un amico"),
           ("compra una bicicletta blu", "beve latte caldo", "apre la finestra", "aspetta il primo treno",
            "parla di musica", "ha perso le chiavi", "vuole cinque mele"),
           ("lunedì mattina.", "in città.", "per i bambini.", "come sempre.", "prima della pioggia.", "senza parole.")),
    "pt-br": (("O velho padeiro", "Minha irmã", "Nosso vizinho", "A jovem mulher", "Todo mundo", "Um bom amigo"),
              ("comprou uma bicicleta azul", "bebe leite quente", "abre a janela", "espera o primeiro trem",
               "fala sobre música", "perdeu as chaves", "quer cinco maçãs"),
              ("na segunda de manhã.", "na cidade.", "para as crianças.", "como sempre.", "antes da chuva.")),
    "nl": (("De oude bakker", "Mijn zus", "Onze buurman", "De jonge vrouw", "Iedereen", "Een goede vriend"),
           ("kocht een blauwe fiets", "drinkt warme melk", "opent langzaam het raam", "wacht op de eerste trein",
            "praat over muziek", "vergat de sleutels", "wil vijf appels"),
           ("op maandagmorgen.", "in de stad.", "voor de kinderen.", "zoals altijd.", "voor de regen.")),
    "sv": (("Den gamle bagaren", "Min syster", "Vår granne", "Den unga kvinnan", "Alla människor", "En god vän"),
           ("köpte en blå cykel", "dricker varm mjölk", "öppnar fönstret", "väntar på första tåget",
            "pratar om musik", "glömde nycklarna", "vill ha fem äpplen"),
           ("på måndag morgon.", "i staden.", "för barnen.", "som vanligt.", "före regnet.", "utan ett ord.")),
    "pl": (("Stary piekarz", "Moja siostra", "Nasz sąsiad", "Młoda kobieta", "Każdy z nas", "Dobry przyjaciel"),
           ("kupił niebieski rower", "pije ciepłe mleko", "otwiera okno", "czeka na pociąg", "mówi o muzyce",
            "chce pięć jabłek"),
           ("w poniedziałek rano.", "w mieście.", "dla dzieci.", "jak zawsze.", "przed deszczem.")),
    "ru": (("Старый пекарь", "Моя сестра", "Наш сосед", "Молодая женщина", "Каждый из нас", "Хороший друг"),
           ("купил синий велосипед", "пьёт тёплое молоко", "открывает окно", "ждёт первый поезд", "говорит о музыке",
            "хочет пять яблок"),
           ("в понедельник утром.", "в городе.", "для детей.", "как всегда.", "перед дождём.", "без слов.")),
    "tr": (("Yaşlı fırıncı", "Kız kardeşim", "Komşumuz", "Genç kadın", "Herkes", "İyi bir arkadaş"),
           ("mavi bir bisiklet aldı", "sıcak süt içiyor", "pencereyi açıyor", "ilk treni bekliyor",
            "müzik hakkında konuşuyor", "beş elma istiyor"),
           ("pazartesi sabahı.", "şehirde.", "çocuklar için.", "her zamanki gibi.", "yağmurdan önce.")),
    "fi": (("Vanha leipuri", "Minun siskoni", "Naapurimme", "Nuori nainen", "Jokainen meistä", "Hyvä ystävä"),
           ("osti sinisen pyörän", "juo lämmintä maitoa", "avaa ikkunan", "odottaa junaa", "puhuu musiikista",
            "haluaa viisi omenaa"),
           ("maanantaina aamulla.", "kaupungissa.", "lapsille.", "kuten aina.", "ennen sadetta.")),
    "ja": (("ふるい パンやさん は", "わたし の いもうと は", "となり の ひと は", "ともだち は"),
           ("あおい じてんしゃ を かいました", "あたたかい みるく を のみます", "まど を あけます",
            "でんしゃ を まちます", "おんがく の はなし を します"),
           ("。", "、まいにち。", "、げつようび の あさ。", "、まち の なか で。")),
}
# fmt: on
LANGUAGES = ("en", *_OTHERS)


def sentence(rng: Random, language: str = "en") -> str:
    """One sentence or question in a language of :data:`LANGUAGES` (``en-us`` and the like count as ``en``).

    Raises:
        ConfigError: no sentences in that language.
    """
    base = language.split("+")[0]
    if base.split("-")[0] == "en":
        if rng.random() < 0.25:
            return str(rng.choice(_QUESTIONS))
        who, does, what, when, first = (str(rng.choice(words)) for words in _ENGLISH)
        if first and who.split()[0] not in ("Professor", "Mister"):
            who = who[0].lower() + who[1:]
        return f"{first}{who} {does} {what} {when}".strip() + str(rng.choice([".", ".", ".", "!", "?"]))
    parts = _OTHERS.get(base)
    if parts is None:
        raise ConfigError(f"There are no sentences in '{language}': use one of {', '.join(LANGUAGES)}.")
    return " ".join(str(rng.choice(words)) for words in parts)
