//! Histograms as pictures: the one panel type whose options are longer than all others together.

use std::fmt;

use serde_json::json;

use super::Panel;
use crate::dashboards::field::Field;

impl Panel {
    /// Observations by bucket over time. Columns are at least five minutes wide, so that few calls still make a pattern.
    pub(crate) fn heatmap(title: &str, description: &str, unit: &str, bucket: impl fmt::Display) -> Self {
        let field = Field::unit("locale", 0)
            .missing("Nothing was counted in this time range.")
            .custom("scaleDistribution", json!({"type": "linear"}));
        let options = json!({
            "calculate": false,
            "cellGap": 1,
            "cellValues": {"decimals": 0, "unit": "locale"},
            "color": {
                "exponent": 0.5,
                "fill": "dark-blue",
                "mode": "scheme",
                "reverse": false,
                "scale": "exponential",
                "scheme": "Blues",
                "steps": 32,
            },
            "exemplars": {"color": "rgba(255,120,10,0.8)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": true},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "showColorScale": false, "yHistogram": false},
            "yAxis": {"axisPlacement": "left", "reverse": false, "unit": unit},
        });
        let expr = format!("sum by (le) (increase({bucket}[$__interval]))");
        let mut panel = Self::new("heatmap", title, description, &field, options).over_time(expr, "{{le}}");
        panel.interval = Some("5m");
        panel.max_data_points = Some(150);
        let query = panel.targets.last_mut().unwrap();
        query.format = "heatmap";
        query.exemplar = true;
        panel
    }
}
