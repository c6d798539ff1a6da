#include "mien/report/run_report.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/report/base64.h"

namespace mien::report {
namespace {

// The pictures are drawn on white: in the dark they stand on a white card, slightly dimmed.
constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --text: #1a202c; --muted: #5b6472; --line: #e3e7ed; --page: #ffffff; --card: #f6f8fa;
  --accent: #0b6aa8; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ee; --muted: #9aa4b2; --line: #2c333d; --page: #12161c;
  --card: #1a2029; --accent: #6cb6e8; } figure img { filter: brightness(.93); } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.6 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; }
main { max-width: 1340px; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3.25rem 0 .75rem;
  padding-top: 1.25rem; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
p { margin: .6rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.subtitle { color: var(--muted); font-size: 1.05rem; margin: .5rem 0 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr));
  gap: .75rem; margin: 1.75rem 0 0; }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem; }
.facts dt { color: var(--muted); font-size: .84rem; }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts .value { font-size: 1.4rem; font-weight: 650; line-height: 1.35; }
.facts .note { color: var(--muted); font-size: .84rem; }
nav { margin: 1.75rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.25rem; font-size: .95rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.scroll { overflow-x: auto; margin: 1.1rem 0; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); font-size: .9rem; padding: 0 0 .4rem; }
th, td { padding: .4rem 1.1rem .4rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--muted); border-bottom-width: 2px; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; margin: 1.25rem 0; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; }
figcaption { color: var(--muted); font-size: .9rem; line-height: 1.45; margin: .5rem .15rem 0;
  width: 0; min-width: 100%;
  overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1.1rem; overflow-x: auto;
  font: .86rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media print { :root { --text: #000; --muted: #444; --line: #ccc; --page: #fff; --card: #fff; --accent: #000; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } nav { display: none; }
  figure, tr, .facts div { break-inside: avoid; } figure img { filter: none; max-height: 23cm; width: auto; }
  h2, caption, thead { break-after: avoid; } h2 + * { break-before: avoid; } p { orphans: 3; widows: 3; }
  .figures, .facts { display: block; } figure { margin-bottom: 1rem; } figcaption { width: auto; min-width: 0; }
  .scroll { overflow: visible; } table { font-size: 8pt; width: 100%; }
  th, td { padding: .25rem .5rem .25rem 0; overflow-wrap: anywhere; } th, .number { white-space: normal; }
  pre { white-space: pre-wrap; overflow: visible; } }
)css";

struct Picture {
  std::string media_type;
  std::optional<std::pair<int64_t, int64_t>> size;  ///< width and height, where it is easily read
};

/// Kind and size of a picture by its first bytes; nothing for another format.
std::optional<Picture> identify(std::string_view bytes) {
  const auto number = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    return value;
  };
  if (bytes.starts_with("\x89PNG\r\n\x1a\n") && bytes.size() >= 24) {
    return Picture{"image/png", std::pair{number(16), number(20)}};  // the IHDR chunk always comes first
  }
  if (bytes.starts_with("\xff\xd8\xff")) return Picture{"image/jpeg", std::nullopt};
  const std::string_view head = bytes.substr(0, 4096);
  if ((head.starts_with("<?xml") || head.starts_with("<svg")) && head.find("<svg") != std::string_view::npos) {
    return Picture{"image/svg+xml", std::nullopt};
  }
  return std::nullopt;
}

std::string figure_html(const ReportFigure& figure) {
  const std::string bytes = read_text(figure.picture);
  const std::optional<Picture> picture = identify(bytes);
  if (!picture) {
    throw_bad_data(
        fmt::format("cannot put {} into the report: it is no png, jpeg or svg picture", figure.picture.string()));
  }
  std::string size;
  if (picture->size && picture->size->first > 0) {
    const auto [width, height] = *picture->size;
    // This program's own plots have two pixels per unit; a small picture has one.
    const int64_t shown = figure.width > 0 ? figure.width : width > 400 ? width / 2 : width;
    size = fmt::format(" width=\"{}\" height=\"{}\"", shown, height * shown / width);
  } else if (figure.width > 0) {
    size = fmt::format(" width=\"{}\"", figure.width);
  }
  const std::string caption = escape_html(figure.caption);
  return fmt::format("<figure><img src=\"data:{};base64,{}\" alt=\"{}\"{}>{}</figure>\n",
                     picture->media_type,
                     base64(bytes),
                     caption,
                     size,
                     caption.empty() ? "" : "<figcaption>" + caption + "</figcaption>");
}

std::string facts_html(const std::vector<ReportFact>& facts) {
  if (facts.empty()) return {};
  std::string html = "<dl class=\"facts\">\n";
  for (const ReportFact& fact : facts) {
    html += fmt::format("<div><dt>{}</dt><dd class=\"value\">{}</dd>", escape_html(fact.name), escape_html(fact.value));
    if (!fact.note.empty()) html += fmt::format("<dd class=\"note\">{}</dd>", escape_html(fact.note));
    html += "</div>\n";
  }
  return html + "</dl>\n";
}

std::string contents_html(const std::vector<ReportSection>& sections) {
  if (sections.size() < 2) return {};
  std::string html = "<nav aria-label=\"Contents\">\n";
  for (size_t i = 0; i < sections.size(); ++i) {
    html += fmt::format("<a href=\"#section-{}\">{}</a>\n", i + 1, escape_html(sections[i].title));
  }
  return html + "</nav>\n";
}

std::string section_opening_html(const ReportSection& section, size_t number) {
  std::string html = fmt::format("<section>\n<h2 id=\"section-{}\">{}</h2>\n", number, escape_html(section.title));
  for (const std::string& paragraph : section.paragraphs) html += fmt::format("<p>{}</p>\n", escape_html(paragraph));
  for (const HtmlTable& table : section.tables) html += "<div class=\"scroll\">" + table.html() + "</div>\n";
  return html;
}

}  // namespace

void write_report(const std::filesystem::path& path, const RunReport& report) {
  // Piece by piece: the pictures together may be large.
  write_atomic(path, [&](const auto& sink) {
    sink(fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
        "'unsafe-inline'\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{}</h1>\n",
        escape_html(report.title),
        kStyle,
        escape_html(report.title)));
    if (!report.subtitle.empty()) sink(fmt::format("<p class=\"subtitle\">{}</p>\n", escape_html(report.subtitle)));
    sink(facts_html(report.facts));
    sink(contents_html(report.sections));
    sink("</header>\n");
    for (size_t i = 0; i < report.sections.size(); ++i) {
      const ReportSection& section = report.sections[i];
      sink(section_opening_html(section, i + 1));
      if (!section.figures.empty()) {
        sink("<div class=\"figures\">\n");
        for (const ReportFigure& figure : section.figures) sink(figure_html(figure));
        sink("</div>\n");
      }
      if (!section.preformatted.empty()) sink(fmt::format("<pre>{}</pre>\n", escape_html(section.preformatted)));
      sink("</section>\n");
    }
    sink("</main>\n</body>\n</html>\n");
  });
}

}  // namespace mien::report
