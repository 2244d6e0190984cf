"""A small knowledge base in Malay and English, and a table of orders: what the search page is looked at with."""

from __future__ import annotations

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench

QUESTIONS = """
CREATE TABLE soalan (
    id BIGINT PRIMARY KEY, question TEXT, answer MEDIUMTEXT, category VARCHAR(40), link VARCHAR(500), asked DATE,
    views INT, verified BOOLEAN
) CHARACTER SET utf8mb4
"""
ORDERS = """
CREATE TABLE orders (id BIGINT PRIMARY KEY, name VARCHAR(200), notes TEXT, total DECIMAL(10, 2), placed DATETIME)
CHARACTER SET utf8mb4
"""
LONG_ANSWER = """\
To renew a Malaysian passport you need your identity card (MyKad), the old passport and the fee of RM200
(RM100 for children, students and senior citizens). Applications are taken online and at the counter.

Online: sign in to the immigration department's portal, choose the office where you want to collect the
passport, upload a photograph with a white background (35 by 50 mm, taken within the last six months, without
glasses or headgear other than for religious reasons) and pay by card or internet banking. You will be told by
e-mail when it is ready, as a rule within one working day.

At the counter: take a number, hand in the documents, have your photograph and thumbprints taken, and pay. At
most offices the passport is ready within an hour. The old passport is given back with its corner cut.

If the old passport was lost, bring the police report. If it was damaged, an officer decides whether a fine is
due. Children under eighteen must come with a parent or guardian, who brings their own identity card and the
child's birth certificate."""

_ROWS = [
    (
        "How do I renew my passport?",
        LONG_ANSWER,
        "travel",
        "https://example.org/passport/renew?lang=en",
        "2026-01-12",
        8412,
        True,
    ),
    (
        "Bagaimana cara memperbaharui pasport?",
        "Bawa MyKad dan pasport lama ke pejabat imigresen, atau mohon dalam talian. Bayarannya "
        "RM200; kanak-kanak, pelajar dan "
        "warga emas membayar RM100. Pasport biasanya siap dalam masa satu jam di kaunter.",
        "travel",
        "https://example.org/pasport/perbaharui",
        "2026-02-03",
        12950,
        True,
    ),
    (
        "My passport was lost abroad. What now?",
        "Report it to the local police, then go to the nearest embassy or consulate with the "
        "report. They issue an emergency "
        "certificate, with which you can travel home.",
        "travel",
        "https://example.org/passport/lost",
        "2025-11-20",
        2210,
        True,
    ),
    (
        "Pasport saya hilang, apa perlu dibuat?",
        "Buat laporan polis dalam masa 24 jam, kemudian hadir ke pejabat imigresen dengan laporan "
        "itu untuk siasatan dan "
        "pasport gantian.",
        "travel",
        None,
        "2025-12-01",
        3120,
        False,
    ),
    (
        "How is income tax paid?",
        "Online, by the end of April; by the middle of May for returns that are filed "
        "electronically. Instalments can be "
        "agreed with the branch that handles your file.",
        "tax",
        "https://example.org/tax/pay",
        "2026-03-01",
        6033,
        True,
    ),
    (
        "Bila tarikh akhir hantar borang cukai pendapatan?",
        "30 April bagi borang BE secara manual, 15 Mei secara e-Filing.",
        "tax",
        "https://example.org/cukai",
        "2026-03-02",
        9904,
        True,
    ),
    (
        "When is the public library open?",
        "Every day but Monday, from nine to six.",
        "culture",
        "https://example.org/library",
        "2024-06-15",
        310,
        True,
    ),
    (
        "Where can I recycle old batteries?",
        "At the collection points of the city council, and in most supermarkets. Do not put them "
        "into the household waste.",
        "environment",
        "javascript:alert(1)",
        "2024-09-09",
        95,
        False,
    ),
    (
        "Berapakah kadar zakat fitrah tahun ini?",
        "RM7, RM14 atau RM21 bagi setiap orang, mengikut jenis beras yang dimakan.",
        "religion",
        "https://example.org/zakat",
        "2026-02-20",
        4471,
        True,
    ),
    (
        'How do I write <b>bold</b> & "quoted" text in the portal\'s editor?',
        "Write **bold** for bold. HTML such as <script>alert(1)</script> or <img src=x "
        "onerror=alert(1)> is shown as it is "
        "written, passport or not.",
        "portal",
        "https://example.org/editor",
        "2025-05-05",
        12,
        False,
    ),
    (
        "Bagaimana memohon lesen memandu antarabangsa?",
        "Mohon di pejabat JPJ dengan lesen memandu yang sah, MyKad, gambar berukuran pasport dan "
        "bayaran RM150. Permit siap "
        "pada hari yang sama.",
        "transport",
        "https://example.org/jpj/idp",
        "2025-08-17",
        1888,
        True,
    ),
    (
        "Can I drive with a foreign licence?",
        "For ninety days with an international driving permit; after that the licence has to be converted.",
        "transport",
        "https://example.org/jpj/foreign",
        "2025-08-18",
        1530,
        True,
    ),
]
_ORDERS = [
    ("Nadia Rahman", "Passport cover, brown leather, gift wrapped", "89.90", "2026-01-05 10:30:00"),
    ("Tan Wei Ming", "Two travel adapters; asked whether they fit in Japan", "45.00", "2026-01-06 16:05:00"),
    ("Siti Aminah", "Beg galas untuk sekolah, warna biru", "120.50", "2026-02-11 09:00:00"),
]


def questions_spec() -> IndexSpec:
    return IndexSpec.model_validate(
        {
            "name": "soal_jawab",
            "source": {"table": "soalan", "primary_key": "id"},
            "document": {
                "text": {"question": "question", "answer": "answer"},
                "metadata": {name: name for name in ("category", "link", "asked", "views", "verified")},
            },
            "search": {"threshold": 0.4},
        }
    )


def orders_spec() -> IndexSpec:
    return IndexSpec.model_validate(
        {
            "name": "orders",
            "source": {"table": "orders", "primary_key": "id"},
            "document": {
                "text": {"name": "name", "notes": "notes"},
                "metadata": {"total": "total", "placed": "placed"},
            },
            "search": {"threshold": 0.3},
        }
    )


def fill(bench: Workbench) -> None:
    """Makes both tables, and syncs both indexes."""
    bench.mysql(QUESTIONS)
    bench.mysql(
        "INSERT INTO soalan VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [(key, *row) for key, row in enumerate(_ROWS, 1)],
    )
    bench.mysql(ORDERS)
    bench.mysql("INSERT INTO orders VALUES (%s, %s, %s, %s, %s)", [(key, *row) for key, row in enumerate(_ORDERS, 1)])
    bench.sync(questions_spec())
    bench.sync(orders_spec())
