#include "mien/report/run_report.h"

#include "report/tools.h"

#include "mien/core/error.h"
#include "mien/report/base64.h"

namespace mien::report {
namespace {

using test::contains;

/// The beginning of a png of given size: as much as the report looks at.
std::string png_head(uint8_t width_high, uint8_t width_low, uint8_t height) {
  std::string bytes("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", 18);
  bytes += static_cast<char>(width_high);
  bytes += static_cast<char>(width_low);
  bytes += std::string("\0\0\0", 3);
  bytes += static_cast<char>(height);
  return bytes + "the rest";
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

TEST(Base64, MatchesTheExamplesOfItsStandard) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xfb\xff\xfe"), "+//+");
}

TEST(HtmlTable, EscapesEveryCell) {
  HtmlTable table({"<class>", "a & b"}, "\"caption\"");
  table.add_row({"<script>alert(1)</script>", "it's"});
  EXPECT_EQ(table.html(),
            "<table>\n<caption>&quot;caption&quot;</caption>\n"
            "<thead><tr><th>&lt;class&gt;</th><th>a &amp; b</th></tr>\n</thead>\n<tbody>\n"
            "<tr><td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>it&#39;s</td></tr>\n</tbody>\n</table>\n");
}

TEST(HtmlTable, SetsColumnsOfNumbersFlushRight) {
  HtmlTable table({"class", "accuracy", "seconds"});
  table.add_row({"happy", "88.0 %", "1,024"});
  table.add_row({"2nd", "-", "unknown"});
  const std::string html = table.html();
  EXPECT_TRUE(contains(html, "<th>class</th><th class=\"number\">accuracy</th><th>seconds</th>")) << html;
}

TEST(HtmlTable, RefusesARowOfAnotherLength) {
  HtmlTable table({"a", "b"});
  EXPECT_THROW(table.add_row({"1"}), Error);
}

TEST(RunReport, HoldsEveryFigureAndAsksNobodyForAnything) {
  const TemporaryFolder folder;
  const std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>";
  write_atomic(folder / "a.png", png_head(0x03, 0xe8, 100));
  write_atomic(folder / "b.jpg", "\xff\xd8\xff and the rest");
  write_atomic(folder / "c.svg", svg);
  RunReport report{.title = "leaky4", .subtitle = "a run", .facts = {{"accuracy", "68.3 %", "95 % interval"}}};
  report.sections.push_back(
      {.title = "Curves", .figures = {{folder / "a.png", "first"}, {folder / "b.jpg", "second"}}});
  report.sections.push_back({.title = "More", .paragraphs = {"text"}, .figures = {{folder / "c.svg", "third"}}});
  write_report(folder / "report.html", report);

  const std::string html = read_text(folder / "report.html");
  EXPECT_TRUE(contains(html, "src=\"data:image/png;base64," + base64(png_head(0x03, 0xe8, 100)) + "\""));
  EXPECT_TRUE(contains(html, "src=\"data:image/jpeg;base64," + base64("\xff\xd8\xff and the rest") + "\""));
  EXPECT_TRUE(contains(html, "src=\"data:image/svg+xml;base64," + base64(svg) + "\""));
  EXPECT_EQ(count(html, "<img "), 3u);
  EXPECT_EQ(count(html, "<figcaption>"), 3u);
  for (const char* outward : {"http:", "https:", "//", "url(", "@import", "<script", "<link", "<iframe"}) {
    // Base64 may hold "//" by chance; these three pictures do not.
    EXPECT_FALSE(contains(html, outward)) << outward;
  }
  EXPECT_TRUE(contains(html, "default-src 'none'"));
  EXPECT_TRUE(contains(html, "prefers-color-scheme: dark"));
  EXPECT_TRUE(contains(html, "<a href=\"#section-2\">More</a>"));
}

TEST(RunReport, ShowsThisProgramsPlotsAtHalfTheirPixels) {
  const TemporaryFolder folder;
  write_atomic(folder / "plot.png", png_head(0x03, 0xe8, 100));  // 1000 x 100
  write_atomic(folder / "small.png", png_head(0, 48, 96));
  RunReport report;
  report.sections.push_back(
      {.title = "x",
       .figures = {{folder / "plot.png", ""}, {folder / "small.png", ""}, {folder / "small.png", "", 24}}});
  write_report(folder / "report.html", report);
  const std::string html = read_text(folder / "report.html");
  EXPECT_TRUE(contains(html, " width=\"500\" height=\"50\""));
  EXPECT_TRUE(contains(html, " width=\"48\" height=\"96\""));
  EXPECT_TRUE(contains(html, " width=\"24\" height=\"48\""));
}

TEST(RunReport, EscapesTextWhereverItStands) {
  const TemporaryFolder folder;
  write_atomic(folder / "a.png", png_head(0, 48, 48));
  const std::string evil = "\"><script>alert('x')</script>&";
  RunReport report{.title = evil, .subtitle = evil, .facts = {{evil, evil, evil}}};
  HtmlTable table({evil}, evil);
  table.add_row({evil});
  for (int i = 0; i < 2; ++i) report.sections.push_back({evil, {evil}, {table}, {{folder / "a.png", evil}}, evil});
  write_report(folder / "report.html", report);
  const std::string html = read_text(folder / "report.html");
  EXPECT_FALSE(contains(html, "<script"));
  EXPECT_FALSE(contains(html, "alert('x')"));
  // title, h1, subtitle, fact (3), contents (2); per section title, text, caption, header, cell, alt, caption, pre
  EXPECT_EQ(count(html, "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;"), 3u + 3 + 2 + 2 * 8);
}

TEST(RunReport, NamesAPictureThatIsMissingAndKeepsTheOldPage) {
  const TemporaryFolder folder;
  write_atomic(folder / "report.html", "old");
  RunReport report;
  report.sections.push_back({.title = "x", .figures = {{folder / "missing.png", ""}}});
  try {
    write_report(folder / "report.html", report);
    FAIL() << "wrote a report without its picture";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    EXPECT_TRUE(contains(error.what(), "missing.png")) << error.what();
  }
  EXPECT_EQ(read_text(folder / "report.html"), "old");
}

TEST(RunReport, RefusesAFileThatIsNoPicture) {
  const TemporaryFolder folder;
  write_atomic(folder / "x.png", "<html>");
  RunReport report;
  report.sections.push_back({.title = "x", .figures = {{folder / "x.png", ""}}});
  EXPECT_THROW(write_report(folder / "report.html", report), Error);
}

}  // namespace
}  // namespace mien::report
