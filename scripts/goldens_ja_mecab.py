#!/usr/bin/env python3
"""Writes tests/golden/ja_mecab.json: Japanese sentences as MeCab cuts them with IPADIC, and sacreBLEU's score
with `ja-mecab`. Needs `pip install sacrebleu[ja]`. `--check` recomputes and compares.
"""

import json
import random
import sys
from pathlib import Path

from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_ja_mecab import TokenizerJaMecab

from goldens_check import run

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"

REFERENCES = [
    "昨日、東京で大規模な国際会議が開かれ、各国の代表が気候変動について話し合った。",
    "この論文では、言語モデルの各層がどの時点で答えを知っているかを調べる。",
    "すもももももももものうち",
    "彼女は図書館で三時間も本を読んでいたそうです。",
    "新しいGPUは1秒あたり989TFLOPSの演算ができ、消費電力は700Wである。",
    "「明日は雨が降るでしょう」と気象予報士が言った。",
    "株式市場は前日比2.5%高の38,460円で取引を終えた。",
    "お問い合わせは、support@example.com または 0120-123-456 まで。",
    "京都の紅葉はとても美しく、毎年多くの観光客が訪れます。",
    "スマートフォンのアプリケーションをアップデートしてください。",
]

HYPOTHESES = [
    "昨日東京で大きな国際会議が開催され、各国の代表者が気候変動について議論した。",
    "本論文では、言語モデルの各層がいつ答えを知るのかを調査する。",
    "すもももももももものうち",
    "彼女は図書館で3時間本を読んでいました。",
    "新しいGPUは毎秒989TFLOPSの計算が可能で、消費電力は700Wです。",
    "気象予報士は「明日は雨でしょう」と言った。",
    "株式市場は前日から2.5%上がり38,460円で終わった。",
    "お問合せは support@example.com か 0120-123-456 へ。",
    "京都の紅葉は大変美しく、毎年たくさんの観光客が訪れる。",
    "スマホのアプリを更新してください。",
]

OTHERS = [
    "外国人参政権", "ﾊﾝｶｸｶﾅ と ｆｕｌｌｗｉｄｔｈ　Ｔｅｘｔ", "👩‍👩‍👧と🇯🇵の絵文字😀😀😀", "𠮷野家で𩸽を食べた", "ググったらヴォイニッチ手稿がヒットした",
    "ＡＢＣ株式会社（代表：山田　太郎）は、令和6年4月1日付で社名を変更しました。", "hello world, this is English.", "１２３４５６７８９０",
    "アアアアアアアアアアアアアアアアアアアアアアアアアアアアアアアアアアアア", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "……――ーーー！！？？",
    "  前後に空白  ", "タブ\tと　全角空白", "々〆ヶ月〇", "", "。", "Ð", "Привет мир", "Αλφα βήτα", "한국어 문장", "中文句子也可以", "¥100€200",
    "きゃりーぱみゅぱみゅ", "庭には二羽鶏がいる。裏庭にも二羽鶏がいる。", "貴社の記者が汽車で帰社した", "このひとことで元気になった", "東京都に住む", "くるまでまつ",
]


def drawn(n):
    """Made-up texts: pieces of the others, one behind the other."""
    generator = random.Random(1)
    texts = [text for text in [*REFERENCES, *HYPOTHESES, *OTHERS] if text.strip()]
    for _ in range(n):
        parts = [generator.choice(texts) for _ in range(generator.randrange(1, 7))]
        cuts = [sorted(generator.sample(range(len(part) + 1), min(2, len(part)))) for part in parts]
        yield "".join(part[cut[0] : cut[-1]] for part, cut in zip(parts, cuts))


def write_all(root):
    tokenizer = TokenizerJaMecab()
    texts = [*REFERENCES, *HYPOTHESES, *OTHERS, *drawn(300)]
    cut = [{"text": text, "words": [word for word in tokenizer(text).split(" ") if word]} for text in texts]
    bleu = BLEU(tokenize="ja-mecab")
    score = bleu.corpus_score(HYPOTHESES, [REFERENCES])
    content = {
        "cut": cut, "hypotheses": HYPOTHESES, "references": REFERENCES, "score": score.score, "signature": str(bleu.get_signature()),
    }
    (root / "ja_mecab.json").write_text(json.dumps(content, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
