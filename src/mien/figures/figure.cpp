#include "mien/figures/figure.h"

#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/figures/figure_output.h"

namespace mien::figures {
namespace {

/// A figure of each kind with its defaults.
template <size_t... I>
std::vector<Figure> one_of_each(std::index_sequence<I...>) {
  return {Figure(std::in_place_index<I>)...};
}
std::vector<Figure> one_of_each() { return one_of_each(std::make_index_sequence<std::variant_size_v<Figure>>()); }

}  // namespace

std::vector<std::string> figure_kinds() {
  std::vector<std::string> kinds;
  for (const Figure& figure : one_of_each()) kinds.emplace_back(kind_of(figure));
  return kinds;
}

Figure make_figure(const std::string& kind) {
  for (Figure& figure : one_of_each()) {
    if (kind_of(figure) == kind) return std::move(figure);
  }
  throw_usage(fmt::format("unknown kind of figure {}", quote_sample(kind)), suggestion(kind, figure_kinds()));
}

std::string_view kind_of(const Figure& figure) {
  return std::visit([](const auto& of_kind) -> std::string_view { return of_kind.kKind; }, figure);
}

const PictureOptions& picture_of(const Figure& figure) {
  return std::visit([](const auto& of_kind) -> const PictureOptions& { return of_kind.picture; }, figure);
}

std::string part_of(const Figure& figure) {
  return std::visit([](const auto& of_kind) { return of_kind.part(); }, figure);
}

void bind(Figure& figure, OptionSet& options) {
  std::visit([&](auto& of_kind) { of_kind.bind(options); }, figure);
}

std::string options_text(const Figure& figure) {
  Figure copy = figure;
  OptionSet options;
  bind(copy, options);
  std::string text(kind_of(figure));
  for (const OptionSet::Entry& entry : options.entries()) text += fmt::format("\n{}={}", entry.spec.name, entry.text());
  return text;
}

std::string unused(const Figure& figure, std::string_view option) {
  return std::visit(
      [&](const auto& of_kind) -> std::string {
        if constexpr (requires { of_kind.unused(option); }) return of_kind.unused(option);
        return "";
      },
      figure);
}

void check_used(const Figure& figure, const OptionSet& options) {
  for (const OptionSet::Entry& entry : options.entries()) {
    if (entry.origin == Origin::default_value || entry.text() == entry.default_text) continue;
    const std::string why = unused(figure, entry.spec.name);
    if (!why.empty()) throw_usage(fmt::format("{}: {} {}", entry.origin_detail, entry.spec.name, why));
  }
}

void check_figure(const Figure& figure, const network::Graph& graph) {
  std::visit([&](const auto& of_kind) { of_kind.check(graph); }, figure);
}

std::vector<runs::DrawnPicture> draw_figure(const Figure& figure,
                                            ExplainContext& context,
                                            const std::filesystem::path& folder,
                                            bool raw) {
  FigureOutput output(figure, context, folder, raw);
  std::visit([&](const auto& of_kind) { of_kind.draw(context, output); }, figure);
  return output.drawn();
}

}  // namespace mien::figures
