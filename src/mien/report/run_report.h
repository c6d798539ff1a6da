#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/report/html_table.h"

namespace mien::report {

/// A picture of the report.
struct ReportFigure {
  std::filesystem::path picture;  ///< png, jpeg or svg; copied into the page
  std::string caption;
  int64_t width = 0;  ///< on the page, in CSS pixels; 0: half the pixels of a png wider than 400, else its own
};

/// A headline number or setting: "validation accuracy", "68.3 %", "95 % interval 66.7 to 69.8 %".
struct ReportFact {
  std::string name;
  std::string value;
  std::string note;  ///< small print below the value; may be empty
};

/// One chapter, shown in this order: text, tables, figures, preformatted text. Everything is plain text and escaped.
struct ReportSection {
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<HtmlTable> tables;
  std::vector<ReportFigure> figures;
  std::string preformatted;  ///< monospaced block, such as a command or a network summary
};

/// What report.html says.
struct RunReport {
  std::string title;
  std::string subtitle;
  std::vector<ReportFact> facts;
  std::vector<ReportSection> sections;
};

/// Writes `report` as one self-contained page: pictures inside, no script, nothing fetched, light or dark as the
/// reader's system is, fit to print. Throws Error(bad_data) naming a picture that is missing or of another format,
/// Error(failed) if the page cannot be written.
void write_report(const std::filesystem::path& path, const RunReport& report);

}  // namespace mien::report
