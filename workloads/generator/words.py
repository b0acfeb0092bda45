# ruff: noqa: RUF001  (letters of other alphabets that look like Latin ones are what this file is about)
"""Sentences in eight languages, from small vocabularies that fit together."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["LANGUAGES", "Language", "sentence"]


@dataclass(frozen=True, slots=True)
class Language:
    """Phrases of which any four make a sentence.

    Attributes:
        code: as in HTML's ``lang``.
        encodings: what texts in it come in, the usual one first.
        when, who, does, what, where: phrases; ``what`` holds object and reason.
        end: the full stop with the space after it.
        joint: what stands between phrases.
    """

    code: str
    encodings: tuple[str, ...]
    when: tuple[str, ...]
    who: tuple[str, ...]
    does: tuple[str, ...]
    what: tuple[str, ...]
    where: tuple[str, ...]
    end: str = ". "
    joint: str = " "


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split("|"))


LANGUAGES = (
    Language(
        "en",
        ("utf-8", "windows-1252"),
        _phrases(
            "last year|in March|on Monday|before the audit|this quarter|after the review|in 2019|"
            "since the merger"
        ),
        _phrases(
            "the committee|our supplier|the laboratory|a former director|the city council|every engineer|"
            "the court|the library"
        ),
        _phrases("approved|rejected|measured|published|delayed|compared|archived|questioned"),
        _phrases(
            "the annual report|a draft of the contract|twelve samples of drinking water|"
            "the new timetable|the café’s licence|an offer of £4,200|the minutes of the meeting|"
            "the results of the survey"
        ),
        _phrases(
            "in Geneva|at the harbour office|without further comment|by a narrow majority|"
            "for the second time|in cooperation with the university|on the members’ request|"
            "despite the costs"
        ),
    ),
    Language(
        "de",
        ("utf-8", "windows-1252"),
        _phrases(
            "im Frühjahr|seit der Prüfung|am Dienstag|vor zwei Jahren|nach der Sitzung|"
            "im dritten Quartal|wie üblich|zuletzt"
        ),
        _phrases(
            "prüfte der Ausschuss|verschob die Behörde|veröffentlichte das Institut|kündigte der Händler|"
            "übernahm die Gemeinde|verglich das Labor|bestätigte die Richterin|ergänzte der Verein"
        ),
        _phrases(
            "mit großer Mehrheit|ohne Begründung|zum zweiten Mal|auf Wunsch der Mitglieder|"
            "trotz höherer Kosten|in enger Abstimmung|wegen fehlender Unterlagen|gemäß § 14"
        ),
        _phrases(
            "den Jahresbericht|die Fahrpläne|eine Lieferung von 300 Stück|das Protokoll|"
            "die Ergebnisse der Umfrage|den Entwurf des Vertrags|zwölf Wasserproben|die Straßensperrung"
        ),
        _phrases(
            "in Österreich|für die nächsten fünf Jahre|am Hafen|im Rathaus|an der Universität|"
            "vor Gericht|in München|für alle Beteiligten"
        ),
    ),
    Language(
        "fr",
        ("utf-8", "iso-8859-1"),
        _phrases(
            "l'année dernière|au printemps|depuis l'enquête|mardi matin|après la réunion|en 2018|"
            "à la rentrée|avant l'été"
        ),
        _phrases(
            "le comité|la préfecture|notre fournisseur|le tribunal|l'université|une équipe de Genève|"
            "le maire|la bibliothèque"
        ),
        _phrases("a approuvé|a publié|a reporté|a comparé|a contesté|a signé|a modifié|a archivé"),
        _phrases(
            "le rapport annuel|les résultats de l'étude|un contrat de 40 000 francs|le procès-verbal|"
            "l'horaire d'été|douze échantillons d'eau|la décision du conseil|les pièces manquantes"
        ),
        _phrases(
            "à l'unanimité|sans commentaire|pour la deuxième fois|malgré les coûts|"
            "à la demande des élèves|dans un délai de six mois|près du port|au siège de la société"
        ),
    ),
    Language(
        "es",
        ("utf-8", "iso-8859-15"),
        _phrases(
            "el año pasado|en otoño|desde la auditoría|el lunes|tras la reunión|en 2020|esta mañana|"
            "antes del verano"
        ),
        _phrases(
            "la comisión|el ayuntamiento|nuestro proveedor|el tribunal|la universidad|"
            "un equipo de Logroño|la señora Núñez|la biblioteca"
        ),
        _phrases("aprobó|publicó|aplazó|comparó|rechazó|firmó|archivó|midió"),
        _phrases(
            "el informe anual|los resultados de la encuesta|un contrato de tres años|"
            "el acta de la sesión|doce muestras de agua|el nuevo horario|la decisión del consejo|"
            "los documentos perdidos"
        ),
        _phrases(
            "por unanimidad|sin más comentarios|por segunda vez|a petición de los vecinos|"
            "a pesar del coste|junto al puerto|en España|ante el juez"
        ),
    ),
    Language(
        "pl",
        ("utf-8", "windows-1250", "iso-8859-2"),
        _phrases(
            "w zeszłym roku|wiosną|po kontroli|w poniedziałek|po posiedzeniu|w 2021 roku|dziś rano|"
            "przed świętami"
        ),
        _phrases("komisja|gmina|biblioteka|spółka z Łodzi|rada miasta|uczelnia|pracownia|sędzia Wiśniewska"),
        _phrases("zatwierdziła|ogłosiła|odłożyła|porównała|odrzuciła|podpisała|zmieniła|zmierzyła"),
        _phrases(
            "roczne sprawozdanie|wyniki ankiety|umowę na trzy lata|protokół zebrania|"
            "dwanaście próbek wody|nowy rozkład jazdy|decyzję zarządu|brakujące załączniki"
        ),
        _phrases(
            "jednogłośnie|bez wyjaśnień|po raz drugi|na wniosek członków|mimo kosztów|w Gdańsku|"
            "przed sądem|we współpracy z uniwersytetem"
        ),
    ),
    Language(
        "ru",
        ("utf-8", "windows-1251", "koi8-r"),
        _phrases(
            "в прошлом году|весной|после проверки|в понедельник|по итогам заседания|в 2017 году|"
            "сегодня утром|до начала лета"
        ),
        _phrases(
            "комиссия|библиотека|лаборатория|городская дума|наша компания|редакция|администрация|судья Орлова"
        ),
        _phrases("утвердила|опубликовала|отложила|сравнила|отклонила|подписала|изменила|измерила"),
        _phrases(
            "годовой отчёт|результаты опроса|договор на три года|протокол собрания|двенадцать проб воды|"
            "новое расписание|решение совета|недостающие документы"
        ),
        _phrases(
            "единогласно|без объяснений|во второй раз|по просьбе участников|несмотря на расходы|в Казани|"
            "в суде|вместе с университетом"
        ),
    ),
    Language(
        "el",
        ("utf-8", "windows-1253"),
        _phrases(
            "πέρυσι|την άνοιξη|μετά τον έλεγχο|τη Δευτέρα|μετά τη συνεδρίαση|το 2016|σήμερα το πρωί|"
            "πριν το καλοκαίρι"
        ),
        _phrases(
            "η επιτροπή|ο δήμος|η βιβλιοθήκη|το εργαστήριο|το δικαστήριο|η εταιρεία μας|το πανεπιστήμιο|"
            "η κυρία Παπαδάκη"
        ),
        _phrases("ενέκρινε|δημοσίευσε|ανέβαλε|συνέκρινε|απέρριψε|υπέγραψε|άλλαξε|μέτρησε"),
        _phrases(
            "την ετήσια έκθεση|τα αποτελέσματα της έρευνας|μια σύμβαση τριών ετών|τα πρακτικά|"
            "δώδεκα δείγματα νερού|το νέο πρόγραμμα|την απόφαση του συμβουλίου|τα έγγραφα που λείπουν"
        ),
        _phrases(
            "ομόφωνα|χωρίς σχόλια|για δεύτερη φορά|κατόπιν αιτήματος των μελών|παρά το κόστος|"
            "στη Θεσσαλονίκη|στο λιμάνι|με τη βοήθεια των φοιτητών"
        ),
    ),
    Language(
        "ja",
        ("utf-8", "shift_jis", "euc-jp"),
        _phrases("昨年、|春に、|監査の後、|月曜日に、|会議の結果、|二〇二〇年に、|今朝、|夏までに、"),
        _phrases("委員会は|市役所は|図書館は|研究所は|裁判所は|当社は|大学は|田中部長は"),
        _phrases(
            "年次報告書を|調査の結果を|三年間の契約を|議事録を|十二の水の試料を|新しい時刻表を|理事会の決定を|不足している書類を"
        ),
        _phrases(
            "全会一致で|理由を示さずに|再び|会員の要望により|費用にもかかわらず|京都で|港の事務所で|大学と共同で"
        ),
        _phrases("承認した|公表した|延期した|比較した|却下した|署名した|変更した|測定した"),
        end="。",
        joint="",
    ),
)


def sentence(language: Language, rng: Random) -> str:
    """One sentence with the space that follows it."""
    parts = [rng.choice(getattr(language, part)) for part in ("who", "does", "what", "where")]
    if language.code in ("de", "ja") or rng.random() < 0.4:
        parts.insert(0, rng.choice(language.when))
    if rng.random() < 0.1:
        parts.append(f"({rng.randint(2, 99)})")
    text = language.joint.join(parts)
    return text[0].upper() + text[1:] + language.end
