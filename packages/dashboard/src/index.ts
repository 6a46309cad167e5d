export { dashboardPage } from './page.ts';
