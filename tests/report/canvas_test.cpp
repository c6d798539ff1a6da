#include "mien/report/canvas.h"

#include "core/expect_error.h"
#include "report/picture_reader.h"
#include "report/tools.h"

namespace mien::report {
namespace {

using test::contains;

Canvas one_of_everything() {
  Canvas canvas(200, 100);
  canvas.rectangle({10, 10, 30, 20}, Color{200, 30, 60});
  canvas.line({{50, 20}, {90, 20}}, {.color = {0, 0, 255}, .width = 2, .is_dashed = true});
  canvas.circle({120, 20}, 8, Color{0, 158, 115});
  canvas.picture(Raster::filled(2, 2, {10, 200, 10}), {140, 10, 20, 20});
  canvas.text("faces & <b>", 10, 60);
  canvas.text("upwards", 180, 90, {.degrees = 90});
  return canvas;
}

TEST(TextWidth, IsMeasuredInTheFont) {
  EXPECT_NEAR(text_width("il", 7.5), 5.56, 0.01) << "advances of DejaVu Sans";
  EXPECT_DOUBLE_EQ(text_width("", 11), 0);
  EXPECT_GT(text_width("W", 11), 3 * text_width("i", 11));
  EXPECT_GT(text_width("bold", 11, true), text_width("bold", 11)) << "bold letters are wider";
  EXPECT_NEAR(text_width("width", 22), 2 * text_width("width", 11), 0.01) << "nothing is rounded to pixels";
}

TEST(TextWidth, IsWhatIsPainted) {
  const TemporaryFolder folder;
  Canvas canvas(400, 40);
  canvas.text("Hamburgefonstiv", 20, 20);
  write_picture(folder / "x.png", canvas);
  const Box ink = test::ink_box(test::read_png(folder / "x.png"));
  EXPECT_NEAR(ink.width / 2, text_width("Hamburgefonstiv", 11), 3);
  EXPECT_NEAR(ink.x / 2, 20, 2);
}

TEST(FitText, CutsBetweenCharactersAndSaysSo) {
  EXPECT_EQ(fit_text("short", 11, 100), "short");
  const std::string cut = fit_text("\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc", 11, 60);
  EXPECT_TRUE(cut.ends_with("\u00fc\u2026")) << cut;
  EXPECT_LE(text_width(cut, 11), 60);
  EXPECT_EQ(fit_text("anything", 11, 0), "\u2026");
}

TEST(WrappedText, LosesNoWordAndStaysWithinTheWidth) {
  const std::string text = "Faces of the class fear that a network takes for sad " + std::string(80, 'm');
  std::string joined;
  for (const std::string& line : wrapped_text(text, 11, 200)) {
    EXPECT_LE(text_width(line, 11), 200) << line;
    joined += line;
  }
  std::string expected;
  for (const char c : text)
    if (c != ' ') expected += c;
  joined.erase(std::remove(joined.begin(), joined.end(), ' '), joined.end());
  EXPECT_EQ(joined, expected);
}

TEST(Canvas, IsWrittenAsPngJpgSvgAndPdf) {
  const TemporaryFolder folder;
  for (const char* name : {"x.png", "x.jpg", "x.svg", "x.pdf"})
    write_picture(folder / "new" / name, one_of_everything());
  EXPECT_EQ(test::png_size(folder / "new/x.png"), (std::pair<int64_t, int64_t>{400, 200}));
  EXPECT_TRUE(read_text(folder / "new/x.jpg").starts_with("\xff\xd8\xff"));
  EXPECT_TRUE(contains(read_text(folder / "new/x.svg"), "</svg>"));
  EXPECT_TRUE(read_text(folder / "new/x.pdf").starts_with("%PDF"));
}

TEST(Canvas, HasTheSameBytesTwiceInEveryFormat) {
  for (const char* ending : {".png", ".svg", ".pdf"})
    EXPECT_TRUE(encoded_picture(one_of_everything(), ending) == encoded_picture(one_of_everything(), ending)) << ending;
  EXPECT_FALSE(contains(encoded_picture(one_of_everything(), ".pdf"), "CreationDate"));
}

TEST(Canvas, PaintsWhatItIsTold) {
  const TemporaryFolder folder;
  write_picture(folder / "x.png", one_of_everything());
  const Raster picture = test::read_png(folder / "x.png");
  EXPECT_EQ(test::pixels_of(picture, {200, 30, 60}), 60 * 40);
  EXPECT_EQ(test::pixels_of(picture, {10, 200, 10}), 40 * 40);
  EXPECT_EQ(picture.at(40, 240).hex(), "#009e73");
  EXPECT_GT(test::pixels_of(picture, {0, 0, 255}), 150) << "the dashed line";
  EXPECT_LT(test::pixels_of(picture, {0, 0, 255}), 320) << "its gaps";
}

TEST(Canvas, ShowsNothingOutsideAClip) {
  const TemporaryFolder folder;
  Canvas canvas(100, 100);
  canvas.clip(Box{20, 20, 30, 30});
  canvas.rectangle({0, 0, 100, 100}, Color{0, 0, 0});
  canvas.clip({});
  write_picture(folder / "x.png", canvas);
  EXPECT_EQ(test::pixels_of(test::read_png(folder / "x.png"), {0, 0, 0}), 60 * 60);
  EXPECT_TRUE(contains(encoded_picture(canvas, ".svg"), "clip-path"));
}

TEST(Canvas, TakesAnyBytesForText) {
  const TemporaryFolder folder;
  Canvas canvas(300, 60);
  const std::string evil = "a\xff\xc3 b\n\x01<script>&\"'\u00fc\u2026 \xed\xa0\x80";
  canvas.text(evil, 10, 30);
  write_picture(folder / "x.png", canvas);
  const std::string svg = encoded_picture(canvas, ".svg");
  EXPECT_FALSE(contains(svg, "<script>"));
  EXPECT_TRUE(is_utf8(svg));
  EXPECT_TRUE(contains(svg, "a?? b  &lt;script&gt;")) << svg;
}

TEST(Canvas, RefusesEndingsThatItDoesNotKnow) {
  EXPECT_EQ(error_line(ErrorCode::usage, [] { write_picture("x.bmp", Canvas(10, 10)); }),
            "cannot draw x.bmp: its ending is '.bmp', expected .png, .jpg, .svg or .pdf");
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { write_picture("x", Canvas(10, 10)); }), "is missing"));
}

TEST(Canvas, RefusesAPageBeyondMemory) {
  EXPECT_TRUE(
      contains(error_line(ErrorCode::usage, [] { encoded_picture(Canvas(6000, 6000), ".png"); }), "100 million"));
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { encoded_picture(Canvas(10, 20000), ".png"); }), "in a row"));
}

TEST(Canvas, LeavesTheOldPictureWhereItCannotWriteTheNew) {
  const TemporaryFolder folder;
  write_atomic(folder / "x.png", "old");
  EXPECT_THROW(write_picture(folder / "x.png", Canvas(20000, 20000)), Error);
  EXPECT_EQ(read_text(folder / "x.png"), "old");
}

}  // namespace
}  // namespace mien::report
