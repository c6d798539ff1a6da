#pragma once

#include <string>
#include <vector>

namespace mien::report {

/// A table for report.html. Everything put in is plain text and is escaped on the way out. A column whose cells are all
/// numbers ("71.3 %", "1,024", "-0.2", "12 s", "-", empty) is set flush right.
class HtmlTable {
 public:
  explicit HtmlTable(std::vector<std::string> header, std::string caption = {});

  /// Adds a row of as many cells as the header has. Throws Error(failed) for another number.
  void add_row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// The HTML table element.
  std::string html() const;

 private:
  std::vector<std::string> header_;
  std::string caption_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace mien::report
